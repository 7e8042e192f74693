"""The latent EBM prior learned by energy discrepancy, where the truth is known: KL(true ‖ p_α) and processor time.

Baselines: the prior that learns by its chain, trained in the same process, and N(0, I).
"""

from __future__ import annotations

import time
from typing import Any

from absynth.data.toy import FourModes
from absynth.distributions import StandardNormal
from absynth.experiments.amortized_chains_toy import GRID, NAME, divergence
from absynth.experiments.harness import Figures, Run, at_most, experiment

OVER = "KL over that of the chain's prior"
TIME = "processor time over that of the chain's prior"


def timed(run: Run, method: str, data: str, **fields: Any) -> tuple[Any, float]:
    """A trained model, opened, and the processor seconds that training took."""
    begin = time.process_time()
    opened = run.fit(method, data, **fields)
    return opened, time.process_time() - begin


@experiment(
    data="z from four Gaussians in the plane, x = A z + 0.3 ε in ten dimensions, A known",
    protocol="1,500 updates of batch 200; f 2-64-64-1 SiLU; δ .1; energy discrepancy with t .25, M 8 and K1 5 from an "
    "inference network, or the chain with K0 60 and K1 20; presets as they stand, one process, one thread; KL over a "
    "401 × 401 grid",
    seeds=(0, 1, 2),
    minutes=2,
    bars={OVER: at_most(1, "no worse than the chain's"), TIME: at_most(0.5, "at half its time")},
)
def measure(seed: int, run: Run) -> Figures:
    ours, seconds = timed(run, "discrepancy_prior", "linear_modes")  # first: it pays for what a process loads once
    chain, chain_seconds = timed(run, "latent_prior", "linear_modes")
    kl, other = divergence(ours), divergence(chain)
    normal = GRID.kl(FourModes().log_prob, StandardNormal(2).log_prob)
    return Figures(
        {NAME: kl, OVER: kl / other, TIME: seconds / chain_seconds, "processor seconds": seconds},
        {
            f"{NAME}/prior that learns by its chain": other,
            f"{NAME}/N(0, I)": normal,
            "processor seconds/prior that learns by its chain": chain_seconds,
        },
    )
