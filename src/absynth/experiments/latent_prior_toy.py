"""The latent EBM prior where the truth is known: KL(true ‖ p_α) by a sum over a grid."""

from __future__ import annotations

from absynth.data.toy import FourModes
from absynth.distributions import StandardNormal
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.grid import Grid

GRID = Grid(-4.0, 4.0, 401, 2)
NAME = "KL(true ‖ prior), nats"


@experiment(
    data="z from four Gaussians in the plane, x = A z + 0.3 ε in ten dimensions, A known",
    protocol="1,500 updates of batch 200; f 2-64-64-1 SiLU; K0 60, K1 20, δ .1; KL over a 401 × 401 grid",
    seeds=(0, 1, 2),
    minutes=1.5,
    bars={NAME: at_most(0.10, "N(0, I) scores 1.29")},
)
def measure(seed: int, run: Run) -> Figures:
    prior = run.fit("latent_prior", "linear_modes").model.double().get_submodule("prior")()
    truth = FourModes().log_prob
    kl = GRID.kl(truth, lambda z: prior.log_density(z).detach())
    return Figures({NAME: kl}, {f"{NAME}/N(0, I)": GRID.kl(truth, StandardNormal(2).log_prob)})
