"""Unpaired translation between two rings, the map known; the baseline is cycle consistency without teaching.

Distances of cycles are over the ring's radius; MMD is that of translated examples to fresh ones of the target.
"""

from __future__ import annotations

from typing import Any

import torch

from absynth.data.toy import EightGaussians, Turned
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.kernel import mmd
from absynth.seeding import stream

X = EightGaussians(radius=2.0, std=0.2)
TURNED = Turned(X)
SAMPLES = 2000


def measured(model: Any, n: int, seed: int) -> dict[str, float]:
    """Cycle error and MMD of translators alone, averaged over both directions."""
    x, y = X.sample(n, stream(seed, 0, 0, 21)), TURNED.move(X.sample(n, stream(seed, 0, 0, 22)))
    with torch.no_grad():
        there, here = model.to_y(x), model.to_x(y)
        back_x, back_y = (model.to_x(there) - x).norm(dim=1), (model.to_y(here) - y).norm(dim=1)
    error = float(back_x.mean() / X.radius + back_y.mean() / (TURNED.scale * X.radius)) / 2
    return {"cycle error": error, "MMD": (float(mmd(there, y)) + float(mmd(here, x))) / 2}


@experiment(
    data="eight Gaussians on a circle of radius 2, and the same turned by π/8 and enlarged 1.5 times; fresh draws, "
    "unpaired",
    protocol=f"1,000 updates of 200, with teaching and without; translators alone, no refinement; {SAMPLES} examples "
    "each way, averaged over both ways",
    seeds=(0, 1, 2),
    minutes=3,
    bars={
        "cycle error": at_most(0.05, "under 5 % of the scale"),
        "MMD over that of the cycle alone": at_most(0.1, "far below the cycle alone"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    n = run.few(SAMPLES)
    ours = measured(run.fit("cycle", "wide_ring").model, n, seed)
    alone = measured(run.fit("cycle", "wide_ring", label="cycle alone", teaching_weight=0.0).model, n, seed)
    x, again = (X.sample(n, stream(seed, 0, 0, k)) for k in (21, 23))
    y, more = (TURNED.move(X.sample(n, stream(seed, 0, 0, k))) for k in (22, 24))
    return Figures(
        {**ours, "MMD over that of the cycle alone": ours["MMD"] / alone["MMD"]},
        {
            "cycle error/cycle alone": alone["cycle error"],
            "MMD/cycle alone": alone["MMD"],
            "MMD/two sets of data": (float(mmd(x, again)) + float(mmd(y, more))) / 2,
        },
    )
