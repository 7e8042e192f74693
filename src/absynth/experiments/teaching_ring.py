"""Teaching methods on eight Gaussians at five Langevin steps, everything else the same.

Two settings: all rates alike, and a generator that learns twice as fast.
"""

from __future__ import annotations

from typing import Any

from absynth.experiments._teaching_ring import COMMON, DATA, MEASURED, METHODS, compare
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment

SETTINGS: dict[str, dict[str, Any]] = {
    "K5": {"chain_steps": 5, "chain_step_size": 0.1, "generator_lr": 1e-3},
    "K5, fast generator": {"chain_steps": 5, "chain_step_size": 0.1, "generator_lr": 2e-3},
}
SAME = {"K5, fast generator": {"noise", "triangle", "joint VAE"}}
"""Methods that a setting leaves as they are."""


@experiment(
    data=DATA,
    protocol="the same for all: 1000 updates of 100, networks of 64 units, all rates 1e-3 (a fast generator's 2e-3), K "
    f"steps of δ = 0.1 on x, no guard{MEASURED}",
    minutes=3,
    bars={
        "K5, dual: modes": at_least(8, "all eight modes on every seed"),
        "K5, dual: KL": at_most(0.21, "half of the noise-started EBM's at five steps"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    return compare(
        run,
        {
            f"{setting}, {method}": (name, COMMON | numbers | own)
            for setting, numbers in SETTINGS.items()
            for method, (name, own) in METHODS.items()
            if method not in SAME.get(setting, ())
        },
    )
