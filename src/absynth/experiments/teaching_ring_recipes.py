"""Teaching methods on eight Gaussians, each with its preset as it stands."""

from __future__ import annotations

from absynth.experiments._teaching_ring import DATA, MEASURED, compare
from absynth.experiments.harness import Figures, Run, at_least, experiment

SHIPPED = (
    "maximum_likelihood",
    "cooperative",
    "variational_teaching",
    "divergence_triangle",
    "joint_vae",
    "dual_teaching",
)


@experiment(
    data=DATA,
    protocol=f"each method's own preset as it stands{MEASURED}",
    minutes=6,
    bars={f"{name}: modes": at_least(8, "all eight modes on every seed") for name in SHIPPED},
)
def measure(seed: int, run: Run) -> Figures:
    labels = {name: (name, {}) for name in SHIPPED}
    return compare(run, labels | {"cooperative --teaching full": ("cooperative", {"teaching": "full"})})
