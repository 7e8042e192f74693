"""Inverse optimal control of vehicles of NGSIM's sample: errors after 1 to 4 seconds beside constant velocity.

The sample is 162 vehicles of Peachtree Street. About a dozen of them are seen for the five seconds of a window, most
while they wait: too little to compare with figures on the whole of NGSIM.
"""

from __future__ import annotations

import torch

from absynth.algorithms.inverse_control import InverseControl
from absynth.data.track_set import TrackSet
from absynth.experiments.harness import Figures, Run, at_most, experiment

FOOT = 0.3048
MOMENTS = (1, 2, 3, 4)
TESTED = 100


@experiment(
    data="NGSIM, 5,000 rows of Peachtree Street; windows of 10 + 40 positions at 10 per second; the last fifth of the "
    "time is held out",
    protocol="30 updates of a linear cost through a bicycle; the most probable path of up to 100 test windows, evenly "
    "spread; root mean squared distance in metres after 1, 2, 3 and 4 s; published on the whole of NGSIM (Xu et al. "
    "2022): .318, .644, 1.149, 2.138, constant velocity .484, 1.500, 2.911, 4.718",
    seeds=(0, 1),
    minutes=2,
    bars={"RMSE at 4 s over constant velocity's": at_most(0.99, "better than constant velocity, not equal to it")},
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("inverse_control", "ngsim")
    model = opened.model
    assert isinstance(model, InverseControl)
    test = opened.examples("test")
    assert isinstance(test, TrackSet)
    n = min(len(test), run.few(TESTED, 8))
    batch = test.batch(torch.linspace(0, len(test) - 1, n).round().long())
    c = batch.c
    assert c is not None
    scene = model.f.scene
    u = model.plan(c, c.new_zeros(n, test.future, model.f.signals.dynamics.controls))
    truth = scene.positions(batch.x, c)
    off = (scene.positions(model.f.path(u, c), c).detach() - truth).norm(dim=-1) * FOOT
    straight = (scene.positions(torch.zeros_like(batch.x), c) - truth).norm(dim=-1) * FOOT

    def rmse(distance: torch.Tensor, seconds: int) -> float:
        return float(distance[:, 10 * seconds - 1].square().mean().sqrt())

    values = {f"RMSE at {s} s, m": rmse(off, s) for s in MOMENTS}
    baselines = {f"RMSE at {s} s, m/constant velocity": rmse(straight, s) for s in MOMENTS}
    values["RMSE at 4 s over constant velocity's"] = values["RMSE at 4 s, m"] / rmse(straight, 4)
    values["test windows"] = n
    return Figures(values, baselines)
