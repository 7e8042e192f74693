"""The law of a product of two learned energies, by quadrature.

Two EBMs of eight Gaussians in the plane, the second with its data shifted, trained on their own; their product and the
first with the second held against it (weight −0.3) are sampled twice: by the first one's own chain, which is biased and
far too short to go from mode to mode, and by 5,000 Metropolis-adjusted steps, whose law is the product's. Masses of
20 × 20 cells are compared with those of quadrature: total variation, that of as many exact draws, and that of the first
factor alone. How well each EBM learned its data does not enter: the law is that of the energies as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.data.toy import EightGaussians
from absynth.data.toy_set import ToySet
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.grid import Grid
from absynth.samplers import MALA
from absynth.seeding import stream
from absynth.tasks.compose import compose, composed
from absynth.types import Rng

CELLS, FINE = 20, 400
GRID = Grid(-4, 4, FINE, 2, dtype=torch.float32)
SHIFT = 0.7
N = 1000
EXACT = MALA(5000, 0.15)
PRODUCTS = {"product": (1.0, 1.0), "first without second": (1.0, -0.3)}


@dataclass(frozen=True)
class Shifted(EightGaussians):
    """Eight Gaussians, shifted along the first coordinate."""

    shift: float = 0.0

    def sample(self, n: int, rng: Rng) -> Tensor:
        """n exact draws."""
        return super().sample(n, rng) + torch.tensor([self.shift, 0.0])


def masses(log_prob: Float[Tensor, "cells"]) -> Float[Tensor, "coarse"]:
    """Probabilities of the coarse cells, from a log density on the fine grid."""
    mass = (log_prob + GRID.log_cell).exp().view(CELLS, FINE // CELLS, CELLS, FINE // CELLS)
    return mass.sum((1, 3)).flatten()


def shares(x: Float[Tensor, "n 2"]) -> Float[Tensor, "coarse"]:
    """Shares of samples in the coarse cells; what lies outside the grid is in none."""
    index = ((x - GRID.low) / (GRID.high - GRID.low) * CELLS).floor().long()
    inside = ((index >= 0) & (index < CELLS)).all(1)
    cell = index[inside, 0] * CELLS + index[inside, 1]
    return cell.bincount(minlength=CELLS**2).double() / len(x)


def distance(p: Tensor, q: Tensor) -> float:
    """Total variation; mass that is missing counts as a difference."""
    return float(0.5 * ((p - q).abs().sum() + (p.sum() - q.sum()).abs()))


@experiment(
    data="eight Gaussians of standard deviation 0.15 on a circle of radius 1, and the same shifted by 0.7",
    protocol=f"{N} chains of {EXACT.steps} Metropolis-adjusted Langevin steps on log p_1 + w log p_2, w = 1 and "
    "-0.3, from where the first EBM's chains start, and of its own sampler (750 Langevin steps); total variation over "
    f"{CELLS}×{CELLS} cells of [-4, 4]² against quadrature on {FINE}×{FINE}",
    seeds=(0, 1),
    minutes=3,
    bars={f"TV of the {name}": at_most(0.16, "half as much again as exact draws have by chance") for name in PRODUCTS},
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    chains = []
    for shift in (0.0, SHIFT):
        data = ToySet(Shifted(shift=shift), "ring")
        fields = {"steps": 300, "chains": 1000, "batch": 250}
        chains.append(
            run.fit("maximum_likelihood", data, preset="ring", label=f"shift {shift}", **fields).model.chain()
        )
    with torch.no_grad():
        alone = masses(GRID.log_prob(chains[0].tempered))
    n = run.few(N)
    exact = replace(EXACT, steps=run.few(EXACT.steps, 5))
    for name, weights in PRODUCTS.items():
        with torch.no_grad():
            log_prob = GRID.log_prob(composed(chains, weights))
        truth, figure = masses(log_prob), f"TV of the {name}"
        own = compose(chains, weights, n, seed=seed, batch=n, device="cpu")
        x = compose(
            [replace(chains[0], sampler=exact, rounds=1), *chains[1:]], weights, n, seed=seed, batch=n, device="cpu"
        )
        drawn = torch.multinomial((log_prob + GRID.log_cell).exp(), n, True, generator=stream(seed, 0, 0, 1))
        values[figure] = distance(shares(x), truth)
        baselines[f"{figure}/the run's own chain"] = distance(shares(own), truth)
        baselines[f"{figure}/exact draws"] = distance(shares(GRID.points[drawn]), truth)
        baselines[f"{figure}/first factor alone"] = distance(alone, truth)
        law = log_prob.exp().view(FINE, FINE).T[50:350, 50:350]
        file = run.images / f"composition_{name.replace(' ', '_')}_{seed}.png"
        pictures.scatter2d(file, {"samples": x}, law.float(), (-3.0, 3.0, -3.0, 3.0), name)
    return Figures(values, baselines)
