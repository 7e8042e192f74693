"""Best-of-20 displacement of the belief, of a Gaussian prior with the same networks, and of constant velocity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth.data.tracks import Windows
from absynth.experiments.harness import Run
from absynth.metrics.displacement import best_by_plan, best_of, constant_velocity, stochastic_constant_velocity
from absynth.seeding import stream
from absynth.tasks.opened import Opened

K, NEIGHBOURS = 20, 6
GAUSSIAN = "/Gaussian prior, same networks"
SOCIAL = f"/{NEIGHBOURS} neighbours pooled"
RULES = (
    f"best of {K} predictions by two rules: separate minima (ADE and FDE each of the prediction that has it least), "
    "and one prediction by its plan (both of the prediction with the least squared distance at the four sub-goals, the "
    "rule of the published code)"
)
CHAINS = int.from_bytes(b"paths", "big")
"""Separates the noise of predictions from all other noise."""


def predictions(run: Run, opened: Opened, windows: Windows) -> Tensor:
    """K predictions of every window ``[K, n, steps, 2]``."""
    data: Any = opened.dataset
    c, frames = data.conditions(windows), data.frames(windows)
    # One stream a prediction for all windows: a stream for each window takes most of the time of a short chain.
    return torch.stack(
        [
            frames.positions(opened.model.sample(len(c), c, rng=stream(run.seed, 0, number, CHAINS)))
            for number in range(run.few(K, 3))
        ]
    )


def displacements(run: Run, data: str, label: str = "", **fields: Any) -> dict[str, float]:
    """``FIGURE[/METHOD]`` -> mean over the test windows."""
    windows: Windows | None = None
    paths: dict[str, Tensor] = {}
    variants: list[tuple[str, str, dict[str, Any]]] = [
        ("ebm", "", {"prior": "ebm"}),
        ("gaussian", GAUSSIAN, {"prior": "gaussian"}),
        ("social", SOCIAL, {"prior": "ebm", "neighbours": NEIGHBOURS}),
    ]
    for name, method, given in variants:
        opened = run.fit("latent_prior", data, label=f"{name}{label}", **given, **fields)
        test: Any = opened.examples("test")
        windows = test.windows[torch.arange(run.few(len(test.windows), 50))]
        paths[method] = predictions(run, opened, windows)
    assert windows is not None
    steps, goals = windows.future.shape[1], opened.full.fields()["goals"]
    paths["/constant velocity, one prediction"] = constant_velocity(windows.past, steps)[None]
    paths["/stochastic constant velocity"] = stochastic_constant_velocity(
        windows.past, steps, run.few(K, 3), rng=stream(run.seed)
    )
    plan = range(steps // goals - 1, steps, steps // goals)
    found = {}
    for method, predicted in paths.items():
        apart, one = best_of(predicted, windows.future), best_by_plan(predicted, windows.future, plan)
        found |= {f"ADE{method}": apart.average, f"FDE{method}": apart.final}
        found |= {f"ADE by the plan{method}": one.average, f"FDE by the plan{method}": one.final}
    return {figure: float(values.mean()) for figure, values in found.items()}
