"""Teaching methods on eight Gaussians at thirty Langevin steps, everything else the same."""

from __future__ import annotations

from absynth.experiments._teaching_ring import COMMON, DATA, MEASURED, METHODS, compare
from absynth.experiments.harness import Figures, Run, experiment

NUMBERS = {"chain_steps": 30, "chain_step_size": 0.1, "generator_lr": 1e-3}
SAME = ("triangle", "joint VAE")
"""Methods that learn without a chain."""


@experiment(
    data=DATA,
    protocol="the same for all: 1000 updates of 100, networks of 64 units, all rates 1e-3, 30 steps of δ = 0.1 on x, "
    f"no guard{MEASURED}",
    minutes=4,
)
def measure(seed: int, run: Run) -> Figures:
    labels = {f"K30, {method}": pair for method, pair in METHODS.items() if method not in SAME}
    return compare(run, {label: (name, COMMON | NUMBERS | own) for label, (name, own) in labels.items()})
