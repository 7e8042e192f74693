"""Pictures of which only a part was observed: completed by a density of the data, or through a latent variable.

The observation y is told by ``fill``: x ↦ the point nearest to x that agrees with y. For missing pixels it puts the
known ones back (:class:`absynth.density.restrict`); for a coarse picture it corrects the mean of each block. It is the
orthogonal projection on an affine space, and serves both kinds of model:

    data-space EBM:  log p(x|y) = log p(fill(x)) + const, which any sampler can climb                  (1)
    several levels:  (1) on each of them in turn, see :mod:`absynth.tasks.levels`
    latent variable: p(y|z) ∝ exp(−‖g(z) − fill(g(z))‖² / 2σ²), where x = g(z) + σε                    (2)

(2) is exact: y = Px sees the part Pε of the noise, which is N(0, σ² I) on the range of P. Given z too, x has its
mode at fill(g(z)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from absynth import pictures
from absynth.data.images import Images
from absynth.density import observe
from absynth.distributions import Normal
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.tasks import levels
from absynth.tasks.levels import Fill
from absynth.tasks.opened import Chain, Opened, open_run, row_streams
from absynth.types import LogDensity, Rng

PEAK = 2.0
"""Range of a picture's values, for PSNR."""


def complete(chain: Chain, fill: Fill, start: Float[Tensor, "b *event"], *, rng: Rng) -> Float[Tensor, "b *event"]:
    """Draws of x given its observed part by (1), from chains that begin at ``fill(start)``."""
    return fill(chain.run(lambda x: chain.density.log_density(fill(x)), fill(start), rng=rng))


def complete_latent(
    chain: Chain, generator: Callable[[Tensor], object], fill: Fill, start: Tensor, *, rng: Rng
) -> Tensor:
    """Modes of x given z and its observed part, at draws of z given that part by (2), from chains at ``start``.

    Args:
        chain: on the prior of z, with the posterior's sampler.
        generator: z ↦ N(g(z), σ² I).
        fill: the observation.
        start: first z.
        rng: source of randomness, a stream a row if wanted.

    Raises:
        InputError: the generator's noise is not Gaussian.
    """
    z = chain.run(observe(chain.density.log_density, likelihood(generator, fill)), start, rng=rng)
    with torch.no_grad():
        return fill(chain.decode(z))


def likelihood(generator: Callable[[Tensor], object], fill: Fill) -> LogDensity:
    """z ↦ log p(observed part|z) up to a constant, (2)."""

    def log_prob(z: Tensor) -> Tensor:
        p = generator(z)
        if not isinstance(p, Normal):
            raise InputError(f"pictures with a part unseen need a Gaussian generator, got {p!r}")
        return p.log_prob(fill(p.mode))

    return log_prob


def completions(
    opened: Opened,
    fill: Callable[[slice], Fill],
    n: int,
    samples: int,
    *,
    steps: int = 0,
    seed: int,
    batch: int,
) -> Float[Tensor, "samples n *event"]:
    """Several draws of each of n pictures; draw s of picture i follows from (seed, i, s) alone, to rounding.

    Args:
        opened: the run.
        fill: the observation of some of the pictures.
        n: pictures.
        samples: draws of each.
        steps: length of the chains (of several levels, of the last one); 0 is as in the run.
        seed: of the noise.
        batch: chains at once.
    """
    chain = opened.chain(steps)
    if opened.is_latent:
        model = opened.latent()
        chain = Chain(chain.density, chain.origin, opened.posterior_sampler(steps), model.decode)
    draws = []
    for draw in range(samples):
        parts = []
        for start in range(0, n, batch):
            rows = range(start, min(start + batch, n))
            rng = row_streams(seed, rows, draw, device=opened.device)
            part = fill(slice(rows.start, rows.stop))
            through = levels.complete(opened.model, part, len(rows), steps, rng=rng)
            if through is not None:
                parts.append(through.cpu())
                continue
            first = chain.origin.sample(len(rows), rng)
            if opened.is_latent:
                parts.append(complete_latent(chain, opened.latent().generator, part, first, rng=rng).cpu())
            else:
                parts.append(complete(chain, part, first, rng=rng).cpu())
        draws.append(torch.cat(parts))
    return torch.stack(draws)


def asked(
    run: Path, images: str, n: int, samples: int, batch: int, device: str
) -> tuple[Opened, Images, Float[Tensor, "n c h w"]]:
    """What a task that completes pictures works on: the run, the pictures' data set, and the first n of them.

    Raises:
        InputError: a number below 1, or a model without a density to complete pictures by.
    """
    if samples < 1 or n < 1 or batch < 1:
        raise InputError(f"expected at least 1 picture, draw and chain at once, got {n}, {samples} and {batch}")
    opened = open_run(run, device)
    opened.chain()
    data = opened.pictures(images)
    return opened, data, data.batch(torch.arange(min(n, len(data))))


def told(
    found: TaskResult,
    file: Path,
    x: Float[Tensor, "n c h w"],
    seen: Float[Tensor, "n c h w"],
    draws: Float[Tensor, "samples n c h w"],
    others: dict[str, Float[Tensor, "n c h w"]],
    *,
    word: str,
    figure: str,
    where: Bool[Tensor, "1 h w"] | None = None,
    shown: dict[str, Tensor] | None = None,
) -> None:
    """The picture and the figures of completed pictures.

    Args:
        found: takes them.
        file: of the picture.
        x: the pictures.
        seen: what was seen of them.
        draws: each completed.
        others: completed in simple ways, the baselines.
        word: what a draw is called.
        figure: what the error of a draw is called.
        where: the entries that were completed; None: all.
        shown: further rows of the picture.
    """
    spread = draws.std(0, correction=0)
    rows = {"picture": x, "seen": seen}
    rows |= {f"{word} {s + 1}": draw for s, draw in enumerate(draws[:6])}
    rows |= {**(shown or {}), "spread": 2 * spread - 1}
    pictures.rows_with_labels({name: row[:10] for name, row in rows.items()}, file)
    found.pictures.append({"file": file.name, "caption": f"Pictures, what was seen of them, {word}s, spread"})
    mean = f"PSNR of the {word}s' mean"
    found.figures |= {
        figure: psnr(draws, x.expand_as(draws), where),
        mean: psnr(draws.mean(0), x, where),
        "spread": float((spread if where is None else spread[where.expand_as(spread)]).mean()),
    }
    for name in (figure, mean):
        found.baselines[name] = {other: psnr(v, x, where) for other, v in others.items()}


def psnr(a: Tensor, b: Tensor, where: Bool[Tensor, "..."] | None = None) -> float:
    """Peak signal to noise ratio in dB of the mean squared error over all entries (or those in ``where``)."""
    error = (a - b) ** 2
    if where is not None:
        error = error[where.expand_as(error)]
    return 10 * math.log10(PEAK**2 / max(float(error.mean()), 1e-12))


def nearest(
    x: Float[Tensor, "n *event"], train: Float[Tensor, "m *event"], see: Callable[[Tensor], Tensor]
) -> Float[Tensor, "n *event"]:
    """For each of x the training picture that is nearest in what ``see`` shows of both."""
    seen = see(train).flatten(1)
    index = torch.cat([torch.cdist(see(part).flatten(1), seen).argmin(1) for part in x.split(100)])
    return train[index]
