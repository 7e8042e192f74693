"""Class-wise introspective learning on 8×8 digits with ten labels a class, against the same classifier alone.

The classifier draws its pseudo-negatives in ten rounds. A cascade of four classifiers, as in the generative papers, is
measured beside it and shows its samples stage by stage.
"""

from __future__ import annotations

import torch

from absynth import pictures
from absynth.algorithms.introspective import Introspective
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.seeding import stream
from absynth.tasks.opened import Opened


def error(opened: Opened) -> float:
    """Share of wrong classes on the test images."""
    test = opened.examples("test")
    assert test.labels is not None
    with torch.no_grad():
        return float((opened.model.classify(test.all()).argmax(1) != test.labels).float().mean())


@experiment(
    data="scikit-learn's digits, 8×8; 100 labels",
    protocol="2,000 updates of one classifier, 2,000 pseudo-negatives in ten rounds; the cascade: four classifiers of "
    "500 updates and as many pseudo-negatives each; settings chosen on seeds 7 to 9; error on the test split",
    seeds=(0, 1, 2),
    minutes=1,
    bars={"error over that without pseudo-negatives": at_most(1.0, "below the same classifier alone")},
)
def measure(seed: int, run: Run) -> Figures:
    ours = run.fit("introspective", "digits", label="introspective")
    plain = run.fit("introspective", "digits", label="classifier alone", negative_weight=0.0)
    several = run.fit("introspective", "digits", preset="digits/cascade", label="cascade")
    found, alone = error(ours), error(plain)
    model = several.model
    assert isinstance(model, Introspective)
    if seed == 0:
        stages = {
            f"after {k}": model.sample_stage(k, 10, rng=stream(seed, 0, 0, 1)).clamp(-1, 1)
            for k in range(len(model.cascade.nets) + 1)
        }
        pictures.rows_with_labels(stages, run.images / "introspective.png", scale=4)
    return Figures(
        {"error": found, "error over that without pseudo-negatives": found / max(alone, 1e-9)},
        {"error/classifier alone": alone, "error/cascade": error(several)},
    )
