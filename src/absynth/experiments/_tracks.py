"""Best-of-20 displacement of the belief, of a Gaussian prior with the same networks, and of constant velocity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth.data.tracks import Windows
from absynth.experiments.harness import Run
from absynth.metrics.displacement import best_of, constant_velocity, stochastic_constant_velocity
from absynth.seeding import stream
from absynth.tasks.predict import predict

K = 20
FIGURES = ("ADE", "FDE")
GAUSSIAN = "/Gaussian prior, same networks"


def displacements(run: Run, data: str, label: str = "", **fields: Any) -> dict[str, float]:
    """``FIGURE[/METHOD]`` -> mean over the test windows."""
    windows: Windows | None = None
    paths: dict[str, Tensor] = {}
    for prior, method in (("ebm", ""), ("gaussian", GAUSSIAN)):
        opened = run.fit("latent_prior", data, label=f"{prior}{label}", prior=prior, **fields)
        test: Any = opened.examples("test")
        windows = test.windows[torch.arange(run.few(len(test.windows), 50))]
        paths[method] = predict(opened.model, opened.dataset, windows, run.few(K, 3), seed=run.seed)
    assert windows is not None
    steps = windows.future.shape[1]
    paths["/constant velocity, one prediction"] = constant_velocity(windows.past, steps)[None]
    spread = stochastic_constant_velocity(windows.past, steps, K, rng=stream(run.seed))
    paths["/stochastic constant velocity"] = spread
    return {
        f"{figure}{method}": float(values.mean())
        for method, predicted in paths.items()
        for figure, values in zip(FIGURES, best_of(predicted, windows.future), strict=False)
    }
