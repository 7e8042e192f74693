"""Two moons with six labels: noise contrastive learning with labels, against the same network by cross-entropy."""

from __future__ import annotations

import numpy as np
import torch

from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.tasks.opened import Opened


def accuracy(opened: Opened) -> float:
    """Share of right classes on the test rows."""
    test = opened.examples("test")
    assert test.labels is not None
    with torch.no_grad():
        return float((opened.model.classify(test.all()).argmax(1) == test.labels).float().mean())


@experiment(
    data="scikit-learn's moons with noise 0.1, 3,000 points, six labels, a fixed fifth for the test",
    protocol="800 updates against the Gaussian of the data; cross-entropy of the same network on the same six labels",
    seeds=(0, 1, 2),
    minutes=0.3,
    bars={"points above cross-entropy": at_least(5.0, "five points")},
)
def measure(seed: int, run: Run) -> Figures:
    from sklearn.datasets import make_moons

    x, y = make_moons(3000, noise=0.1, random_state=seed)
    data = str(run.folder / "moons.npz")
    np.savez(data, X=x.astype(np.float32), y=y)
    shared = {"kind": "table", "labels": 6, "labelled_batch": run.few(50, 4), "energy_width": 64}
    contrast = shared | {"batch": 300, "steps": 800, "hidden": 2, "input_scale": 2.0, "label_weight": 0.3}
    ours = run.fit("noise_contrastive", data, preset="ring/gaussian", label="contrastive", **contrast)
    alone = shared | {"steps": 500, "density_weight": 0.0, "data_noise": 0.0}
    plain = run.fit("joint_energy", data, preset="digits_table", label="cross-entropy", **alone)
    found, known = accuracy(ours), accuracy(plain)
    return Figures(
        {"accuracy": found, "points above cross-entropy": 100 * (found - known)}, {"accuracy/cross-entropy": known}
    )
