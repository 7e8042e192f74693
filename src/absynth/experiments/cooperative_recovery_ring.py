"""Cooperative diffusion recovery on eight Gaussians at a third of diffusion recovery's steps.

Chains are judged as in :mod:`absynth.experiments.diffusion_recovery_ring`, on the same draws of the data. Baselines:
diffusion recovery with the same few steps, and its recorded figure with all of them.
"""

from __future__ import annotations

import statistics

from absynth import results
from absynth.experiments.diffusion_recovery_ring import LAW, SAMPLES, continued
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.kernel import mmd
from absynth.seeding import stream

RECORD = "diffusion_recovery_ring"
FIGURES = ("MMD² at K", "MMD² at 5 K", "MMD² at 50 K")
WORST = "worst mode share error"
OVER = "MMD² over that of diffusion recovery with 15 steps"


@experiment(
    data="eight Gaussians of standard deviation 0.15 on a circle of radius 1, fresh draws",
    protocol="3,000 updates, 4 levels, K = 5 per level, steps of 0.15 of the level's noise, both with and without the "
    f"initializer; {SAMPLES} chains from N(0, I), all levels continued; squared MMD (bandwidths 0.2 to 2) to {SAMPLES} "
    "draws of the data; K = 15 without the initializer is the recorded figure on the same seeds",
    seeds=(0, 1, 2),
    minutes=1.5,
    bars={OVER: at_most(1.1, "as good at a third of the steps"), WORST: at_most(0.4, "the bar of diffusion recovery")},
)
def measure(seed: int, run: Run) -> Figures:
    n, steps = run.few(SAMPLES), run.few(5, 3)
    data, again = (LAW.sample(n, stream(seed, 0, 0, purpose)) for purpose in (1, 2))
    ours, worst = continued(run.fit("cooperative_recovery", "ring").model, data, steps, seed)
    short = run.fit("diffusion_recovery", "ring", chain_steps=5)
    few, few_worst = continued(short.model, data, steps, seed)
    recorded = results.load_all(results.records_folder())[RECORD]
    full = {name: statistics.fmean(recorded.figures[name]) for name in (*FIGURES, WORST)}
    values = {WORST: worst, OVER: ours[0] / full[FIGURES[0]]} | dict(zip(FIGURES, ours))
    baselines = {
        f"{WORST}/diffusion recovery, 5 steps": few_worst,
        f"{WORST}/diffusion recovery, 15 steps, recorded": full[WORST],
        f"{OVER}/diffusion recovery, 5 steps": few[0] / full[FIGURES[0]],
        "MMD² at K/two sets of data": float(mmd(again, data)),
    }
    for name, value in zip(FIGURES, few):
        baselines[f"{name}/diffusion recovery, 5 steps"] = value
        baselines[f"{name}/diffusion recovery, 15 steps, recorded"] = full[name]
    return Figures(values, baselines)
