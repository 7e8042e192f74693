"""The latent EBM prior of chains that start at a small diffusion, where the truth is known: KL(true ‖ p_α) on a grid.

5 steps from posterior draws, which begin at the diffusion model. Baselines: 5 steps from the paper's starts, half of
them at N(0, I); the latent prior's 5 steps from N(0, I), and the recorded figure of its 60 steps; N(0, I) itself.
"""

from __future__ import annotations

from typing import Any

from absynth import results
from absynth.data.toy import FourModes
from absynth.distributions import StandardNormal
from absynth.errors import Diverged
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.grid import Grid
from absynth.tasks.opened import Opened

GRID = Grid(-4.0, 4.0, 401, 2)
NAME = "KL(true ‖ prior), nats"
CHAIN = "latent_prior_toy"
"""Record of 60 steps from N(0, I)."""


def divergence(opened: Opened) -> float:
    """KL(true ‖ p_α)."""
    prior = opened.model.double().get_submodule("prior")()
    return GRID.kl(FourModes().log_prob, lambda z: prior.log_density(z).detach())


@experiment(
    data="z from four Gaussians in the plane, x = A z + 0.3 ε in ten dimensions, A known",
    protocol="1,500 updates of batch 200; f 2-64-64-1 SiLU; K0 5, K1 20, δ .1; KL over a 401 × 401 grid",
    seeds=(0, 1, 2),
    minutes=3,
    bars={NAME: at_most(0.052, "what 60 steps from N(0, I) reached")},
)
def measure(seed: int, run: Run) -> Figures:
    ours = divergence(run.fit("diffusion_amortized", "linear_modes"))
    baselines = {f"{NAME}/N(0, I)": GRID.kl(FourModes().log_prob, StandardNormal(2).log_prob)}
    rivals: dict[str, tuple[str, dict[str, Any]]] = {
        "the paper's starts": ("diffusion_amortized", {"negative_start": "both"}),
        "5 steps from N(0, I)": ("latent_prior", {"prior_steps": 5}),
    }
    diverged = 0
    for name, (method, fields) in rivals.items():
        try:
            baselines[f"{NAME}/{name}"] = divergence(run.fit(method, "linear_modes", label=name, **fields))
        except Diverged as error:
            print(f"{name}, seed {seed}: {error}", flush=True)
            diverged += name == "5 steps from N(0, I)"
    recorded = results.load_all(results.records_folder()).get(CHAIN)
    if recorded:
        values = recorded.figures[NAME]
        baselines[f"{NAME}/60 steps from N(0, I), recorded"] = sum(values) / len(values)
    return Figures({NAME: ours, "5 steps from N(0, I), diverged": diverged}, baselines)
