"""The law of a product of two learned energies, by quadrature: ``python reproductions/composition.py --seeds 0 1``.

Two EBMs of eight Gaussians in the plane, the second with its data moved aside, trained on their own; their product and
the first with the second held against it (weight −0.3) are sampled twice: by the first one's own chain, which is biased
and far too short to go from mode to mode, and by 5,000 Metropolis-adjusted steps, whose law is the product's. Masses of
20 × 20 cells are compared with those of quadrature: total variation, beside that of as many exact draws and of the
first factor alone. How well each EBM learned its data does not enter: the law is that of the energies as they are.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import fit, pictures, stream
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.metrics.grid import Grid
from absynth.recipes.ebm_ring import EBMRing
from absynth.results import record
from absynth.samplers import MALA
from absynth.tasks.compose import compose, composed
from absynth.tasks.opened import Chain
from absynth.types import Batch

CELLS, FINE = 20, 400
GRID = Grid(-4, 4, FINE, 2, dtype=torch.float32)
SHIFT = 0.7
N = 1000
EXACT = MALA(5000, 0.15)
PRODUCTS = {"product": (1.0, 1.0), "first without second": (1.0, -0.3)}


@dataclass(frozen=True, kw_only=True)
class RingAside(EBMRing):
    """Eight Gaussians, moved along the first coordinate."""

    steps: int = 300
    bank: int = 1000
    batch: int = 250
    shift: float = 0.0
    """How far."""

    def batches(self, start: int = 0) -> Iterator[Batch]:
        return (Batch(batch.x + torch.tensor([self.shift, 0.0])) for batch in super().batches(start))


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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--pictures", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--out", type=Path, default=Path("results/composition.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    figures, beside = defaultdict(list), defaultdict(list)
    for seed in arguments.seeds:
        chains = []
        for shift in (0.0, SHIFT):
            with tempfile.TemporaryDirectory() as folder:
                model = fit(RingAside(seed=seed, shift=shift), Path(folder) / "run")
            assert isinstance(model, MaximumLikelihood)
            chains.append(Chain(model.ebm(), model.origin, model.sampler, lambda x: x, model.sample_rounds))
        with torch.no_grad():
            alone = masses(GRID.log_prob(chains[0].tempered))
        for name, weights in PRODUCTS.items():
            with torch.no_grad():
                log_prob = GRID.log_prob(composed(chains, weights))
            truth, figure = masses(log_prob), f"TV of the {name}"
            own = compose(chains, weights, N, seed=seed, batch=N, device="cpu")
            long = [replace(chains[0], sampler=EXACT, rounds=1), *chains[1:]]
            x = compose(long, weights, N, seed=seed, batch=N, device="cpu")
            drawn = torch.multinomial((log_prob + GRID.log_cell).exp(), N, True, generator=stream(seed, 0, 0, 1))
            figures[figure].append(distance(shares(x), truth))
            beside[f"{figure}/the run's own chain"].append(distance(shares(own), truth))
            beside[f"{figure}/exact draws"].append(distance(shares(GRID.points[drawn]), truth))
            beside[f"{figure}/first factor alone"].append(distance(alone, truth))
            print(f"seed {seed}: {figure} {figures[figure][-1]:.4f}", {k: v[-1] for k, v in beside.items()}, flush=True)
            law = log_prob.exp().view(FINE, FINE).T[50:350, 50:350]
            file = arguments.pictures / f"composition_{name.replace(' ', '_')}_{seed}.png"
            pictures.scatter2d(file, {"samples": x}, law.float(), (-3, 3, -3, 3), name)
    record(
        arguments.out,
        command="python reproductions/composition.py --seeds " + " ".join(map(str, arguments.seeds)),
        data="eight Gaussians of standard deviation 0.15 on a circle of radius 1, and the same moved aside by 0.7",
        protocol=f"{N} chains of {EXACT.steps} Metropolis-adjusted Langevin steps on log p_1 + w log p_2, w = 1 and "
        f"-0.3, from where the first EBM's begin, and of its own sampler (750 Langevin steps); total "
        f"variation over {CELLS}×{CELLS} cells of [-4, 4]² against quadrature on {FINE}×{FINE}",
        seeds=arguments.seeds,
        figures=dict(figures),
        baselines=dict(beside),
        bars={
            figure: {
                "at_most": 1.5 * sum(beside[f"{figure}/exact draws"]) / len(arguments.seeds),
                "why": "half as much again as exact draws of the product have by chance",
            }
            for figure in figures
        },
    )


if __name__ == "__main__":
    main()
