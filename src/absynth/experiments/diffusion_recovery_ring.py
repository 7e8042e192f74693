"""Do long-run chains stay where the data are: diffusion recovery on eight Gaussians, and single-level short runs.

Three models: diffusion recovery, four levels, K = 15 Langevin steps per level; the usual short run, 60 steps of
x + ∇f + 0.01 ε from N(0, I): temperature 5e-5; and a single level of diffusion recovery's own parametrization: a short
run at temperature 1. Chains are then continued for 5 and 50 times their trained length (diffusion recovery's at every
level), and the squared MMD to fresh data says whether their law has stayed.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from absynth.algorithms import Algorithm
from absynth.data.toy import EightGaussians
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.kernel import mmd
from absynth.seeding import stream

LAW = EightGaussians(radius=1.0, std=0.15)
SAMPLES = 2000
CONTINUED = (1, 5, 50)
SHORT: dict[str, Any] = {
    "steps": 750, "batch": 200, "ema": 0.995, "start": "noise", "hidden": 3, "energy_activation": "silu",
    "input_scale": 3.0, "chain_steps": 60, "chain_step_size": math.sqrt(2), "temperature": 5e-5, "energy_lr": 1e-3,
    "cosine": False, "sample_rounds": 1, "guard_stability": 4.0,
}  # fmt: skip


def continued(model: Algorithm, data: torch.Tensor, steps: int, seed: int) -> tuple[list[float], float]:
    """MMD after 1, 5 and 50 times the trained steps, and the largest error of a mode's share at 1."""
    distances, worst = [], 0.0
    for times in CONTINUED:
        model.set_chain_steps(times * steps)
        x = model.sample(len(data), rng=stream(seed, 0, 0, 3, times))
        distances.append(float(mmd(x, data)) if x.isfinite().all() else 1e3)
        if times == 1:
            nearest = torch.cdist(x, LAW.means.to(x)).argmin(1)
            worst = float((8 * nearest.bincount(minlength=8) / len(x) - 1).abs().max())
    return distances, worst


@experiment(
    data="eight Gaussians of standard deviation 0.15 on a circle of radius 1, fresh draws",
    protocol="diffusion recovery: 3,000 updates, 4 levels, K = 15 per level, steps of 0.15 of the level's noise; "
    "single levels: 750 updates of K = 60 (as many gradient evaluations), the short run at temperature 5e-5. "
    f"{SAMPLES} chains from N(0, I), all levels continued; squared MMD (bandwidths 0.2 to 2) to {SAMPLES} draws of "
    f"the data",
    seeds=(0, 1, 2),
    minutes=2,
    bars={
        "worst mode share error": at_most(0.4, "all eight modes within 40 % of 1/8"),
        "MMD² at 50 K over K": at_most(1.5, "long-run chains keep their law"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    n, single = run.few(SAMPLES), {"levels": 1, "chain_steps": 60, "chain_step_size": 0.1, "steps": 750}
    data, again = (LAW.sample(n, stream(seed, 0, 0, purpose)) for purpose in (1, 2))
    recovery, worst = continued(run.fit("diffusion_recovery", "ring").model, data, run.few(15, 3), seed)
    short = run.fit("maximum_likelihood", "ring", label="short run", **SHORT)
    one = run.fit("diffusion_recovery", "ring", label="one level", **single)
    others = {
        "short run": continued(short.model, data, run.few(60, 3), seed)[0],
        "one level at temperature 1": continued(one.model, data, run.few(60, 3), seed)[0],
    }
    baselines = {"MMD² at K/two sets of data": float(mmd(again, data))}
    for name, found in others.items():
        baselines |= {f"MMD² at K/{name}": found[0], f"MMD² at 50 K/{name}": found[2]}
        baselines[f"MMD² at 50 K over K/{name}"] = found[2] / found[0]
    return Figures(
        {
            "worst mode share error": worst,
            "MMD² at K": recovery[0],
            "MMD² at 5 K": recovery[1],
            "MMD² at 50 K": recovery[2],
            "MMD² at 50 K over K": recovery[2] / recovery[0],
        },
        baselines,
    )
