"""Composition: the product of several runs' densities, weights and negation included, sampled as any density is.

    log p(x) = Σ_i w_i log p_i(x) / T_i + const,   T_i the temperature that run i was sampled at

Energies add (Du, Li, Mordatch 2020, "Compositional Visual Generation with Energy Based Models", conjunction and
negation). A run at temperature T_i has the law p_i^{1/T_i}, so it is that law which is multiplied. The chain is the
first run's, at its temperature: the chain moves on the sum times T_1. A negative weight may
leave a product that cannot be normalized: at least one weight must be positive, and the rest is the user's to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms import Chain
from absynth.density import product
from absynth.errors import InputError, Unsupported
from absynth.metrics.grid import Grid
from absynth.report import TaskResult
from absynth.tasks.opened import Opened, check_positive, in_chunks, open_run, row_streams
from absynth.types import LogDensity

TITLE = "Composition of densities"
NEEDS = "several runs with densities of the same data space"
REPORT = None


def composed(chains: Sequence[Chain], weights: Sequence[float]) -> LogDensity:
    """x ↦ Σ w_i log p_i(x) / T_i."""
    return product([chain.tempered for chain in chains], weights)


def compose(
    chains: Sequence[Chain],
    weights: Sequence[float],
    n: int,
    *,
    seed: int,
    batch: int = 500,
    device: torch.device | str,
) -> Float[Tensor, "n *event"]:
    """n draws of the product by the first chain's sampler; draw i follows from (seed, i) alone, to rounding."""
    first, log_density = chains[0], composed(chains, weights)
    parts = []
    for start, part in in_chunks(torch.empty(n), batch):
        rng = row_streams(seed, range(start, start + len(part)), device=device)
        x = first.start.sample(len(part), rng)
        parts.append(first.run(lambda v: first.temperature * log_density(v), x, rng=rng).cpu())
    return torch.cat(parts)


def _chain(opened: Opened, steps: int) -> Chain:
    """The chain on the data of a run; an error names the run."""
    try:
        return opened.data_chain(steps)
    except Unsupported as error:
        raise Unsupported(f"{opened.path} cannot be multiplied: {error}: choose runs with densities of x") from error


def command(
    run: Path,
    others: list[Path] | None = None,
    weights: list[float] | None = None,
    n: int = 100,
    steps: int = 0,
    seed: int = 0,
    batch: int = 500,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Multiply the densities of several runs and draw from the product.

    Args:
        run: Run directory; its sampler draws.
        others: Directories of the other runs, RUN or RUN,RUN.
        weights: One for each run, this one first, such as 1,1,-0.5. Defaults to 1 each; negative ones push away.
        n: Number of samples.
        steps: Length of the chains; 0 is as in the first run.
        seed: Seed of the noise.
        batch: Chains that run at once (memory only; the samples stay the same).
        data: Data of the first run, if they moved since training.
        out: Folder for the result. Defaults to RUN/compose.
        device: auto, cpu, cuda.
    """
    if not others:
        raise InputError("expected other runs to multiply with, got none: add --others RUN")
    weights = weights or [1.0] * (1 + len(others))
    if len(weights) != 1 + len(others) or not np.isfinite(weights).all() or max(weights) <= 0:
        raise InputError(
            f"expected --weights of {1 + len(others)} numbers, one of them positive, got {weights}: one for each run"
        )
    check_positive(n=n, batch=batch)
    first = open_run(run, device, task="compose", data=data, out=out)
    runs = [first, *(open_run(path, device, task="compose") for path in others)]
    chains = [_chain(r, steps if r is first else 0) for r in runs]
    shapes = [
        tuple(c.start.sample(1, row_streams(0, range(1), device=r.device)).shape[1:]) for c, r in zip(chains, runs)
    ]
    if len(set(shapes)) > 1:
        raise InputError(f"runs to multiply must have examples of one shape, got {shapes}: choose others")
    x = compose(chains, weights, n, seed=seed, batch=batch, device=runs[0].device)
    folder = first.folder
    np.savez_compressed(folder / "samples.npz", x=x.numpy())
    found = first.result(TITLE, _text(runs, chains, weights, n), seed)
    with torch.no_grad():
        for r, c, w in zip(runs, chains, weights):
            found.figures[f"mean log density under {r.path.name} (weight {w:g})"] = float(
                c.tempered(x[:batch].to(r.device)).mean()
            )
    if x.ndim == 4:
        pictures.grid(x[:400].clamp(-1, 1), folder / "composition.png")
        found.pictures.append({"file": "composition.png", "caption": f"{min(n, 400)} draws of the product"})
    elif x.shape[1:] == (2,):
        side = 1.5 * float(x.abs().max())
        grid = Grid(-side, side, 120, 2, dtype=x.dtype, device=runs[0].device)
        law = grid.log_prob(composed(chains, weights)).detach().exp().view(120, 120).T.cpu()
        extent = (-side, side, -side, side)
        pictures.scatter2d(
            folder / "composition.png", {"samples": x}, law.float(), extent, "the product and its samples"
        )
        found.pictures.append({"file": "composition.png", "caption": "Grey: the product by quadrature"})
    return first.save(found)


def _text(runs: Sequence[Opened], chains: Sequence[Chain], weights: Sequence[float], n: int) -> str:
    terms = [f"{w:g} × {r.path.name} (temperature {c.temperature:g})" for r, c, w in zip(runs, chains, weights)]
    steps = chains[0].rounds * chains[0].steps
    return (
        f"{n} samples of the product of {', '.join(terms)}, by {steps} steps of the first run's sampler from where its "
        "chains begin. Each log density is in units of its own run's temperature, up to a constant."
    )
