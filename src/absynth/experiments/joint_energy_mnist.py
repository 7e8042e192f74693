"""A joint energy model of MNIST with ten labels a class, against the same network by cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.metrics.calibration import calibration
from absynth.tasks.opened import Opened

ACCURACY, NLL = "accuracy", "negative log-likelihood"


def nearest_label(opened: Opened, x: Tensor, y: Tensor) -> float:
    """Accuracy of the label of the nearest labelled example."""
    recipe = opened.recipe
    known = recipe.examples.batch(recipe.labelled_rows())  # type: ignore[attr-defined]
    assert recipe.examples.labels is not None
    labels = recipe.examples.labels[recipe.labelled_rows()]  # type: ignore[attr-defined]
    nearest = torch.cdist(x.flatten(1), known.x.flatten(1)).argmin(1)
    return float((labels[nearest] == y).float().mean())


@experiment(
    data="MNIST: 100 labels, all 60,000 training images unlabelled, the 10,000 test images",
    protocol="800 updates of 20 steps, a network of two hidden layers of 200; settings chosen on seed 100 and training "
    "images without labels",
    seeds=(0, 1, 2),
    minutes=2,
    bars={"points of accuracy above cross-entropy": at_least(5.0, "five points")},
)
def measure(seed: int, run: Run) -> Figures:
    ours = run.fit("joint_energy", "mnist", label="joint")
    plain = run.fit("joint_energy", "mnist", label="cross-entropy", density_weight=0.0)
    test = ours.examples("test")
    assert test.labels is not None
    x, y = test.head(run.few(10_000, 100)), test.labels[: run.few(10_000, 100)]
    found = {}
    for name, opened in (("joint", ours), ("plain", plain)):
        with torch.no_grad():
            log_p = opened.model.classify(x)
        found[name] = float((log_p.argmax(1) == y).float().mean()), calibration(log_p, y).nll
    (accuracy, nll), (accuracy_0, nll_0) = found["joint"], found["plain"]
    return Figures(
        {
            ACCURACY: accuracy,
            NLL: nll,
            "points of accuracy above cross-entropy": 100 * (accuracy - accuracy_0),
        },
        {
            f"{ACCURACY}/cross-entropy": accuracy_0,
            f"{NLL}/cross-entropy": nll_0,
            f"{ACCURACY}/nearest labelled image": nearest_label(ours, x, y),
        },
    )
