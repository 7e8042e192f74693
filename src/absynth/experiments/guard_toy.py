"""What the guard is worth: a latent-space EBM prior at settings on which the plain loop diverges on every run.

δ = 0.4 on modes of curvature 16 has δ²λ = 2.6, and a piecewise linear f makes it worse. The truth is known, so the
result is KL(true ‖ p_α) on a grid, in nats; N(0, I) scores 1.2945.
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch

from absynth.data.toy import FourModes
from absynth.distributions import StandardNormal
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.grid import Grid

GRID = Grid(-4, 4, 201, 2, torch.float32)
HARD: dict[str, Any] = {"prior_step_size": 0.4, "energy_activation": "leaky_relu"}


def train(run: Run, label: str, **fields: Any) -> dict[str, float]:
    """KL, the magnitude of the last loss and the guard's roll-backs of one run."""
    opened = run.fit("latent_prior", "linear_modes", label=label, **HARD, **fields)
    last = json.loads((opened.path / "metrics.jsonl").read_text().splitlines()[-1])
    journal = [json.loads(line)["event"] for line in (opened.path / "journal.jsonl").read_text().splitlines()]
    density = opened.model.get_submodule("prior")().log_density
    return {
        "KL": GRID.kl(FourModes().log_prob, density),
        "|loss|": abs(last["loss"]["prior"]),
        "roll-backs": float(journal.count("guard")),
    }


@experiment(
    data="z from four Gaussians in the plane, x = A z + 0.3 ε in ten dimensions, A known",
    protocol="1,500 updates at δ .4 with a leaky ReLU, with the guard and without; |loss| is that of the last update",
    seeds=(0, 1, 2),
    minutes=4,
    bars={"KL with guard": at_most(0.5, "well below N(0, I), on settings where the plain loop diverges")},
)
def measure(seed: int, run: Run) -> Figures:
    guarded, plain = train(run, "guarded"), train(run, "plain", guard_retries=0)
    baselines = {"KL with guard/N(0, I)": GRID.kl(FourModes().log_prob, StandardNormal(2).log_prob)}
    if math.isfinite(plain["|loss|"]):
        baselines["|loss|/plain loop"] = plain["|loss|"]
    if math.isfinite(plain["KL"]):
        baselines["KL with guard/plain loop"] = plain["KL"]
    return Figures(
        {"KL with guard": guarded["KL"], "|loss|": guarded["|loss|"], "roll-backs": guarded["roll-backs"]}, baselines
    )
