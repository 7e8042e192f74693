"""Tracks of Stanford Drone videos that were held out: best-of-20 displacement of the latent belief."""

from __future__ import annotations

from absynth.experiments._tracks import K, displacements
from absynth.experiments.harness import Figures, Run, experiment
from absynth.metrics.displacement import RULE


@experiment(
    data="Stanford Drone in TrajNet's form, its own unit of length; every fifth training video held out whole",
    protocol=f"8 positions observed, 12 predicted, {K} predictions; {RULE}; the preset's last weights, with the "
    "numbers chosen on ETH-UCY; no neighbours",
    seeds=(0, 1),
    minutes=4,
)
def measure(seed: int, run: Run) -> Figures:
    found = displacements(run, "sdd")
    ours = {name: value for name, value in found.items() if "/" not in name}
    return Figures(ours, {name: value for name, value in found.items() if "/" in name})
