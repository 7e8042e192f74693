"""Images, clips and shapes of which only a part was observed: completed by the model, with errors and baselines.

The observation is given by a projection: x ↦ the point nearest to x that agrees with it. For missing pixels it restores
the known ones (:class:`absynth.density.restrict`); for a coarse image it corrects the mean of each block.
``Algorithm.complete`` draws given the observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from absynth.algorithms import Projection
from absynth.report import TaskResult
from absynth.tasks.opened import Opened, row_streams

WORDS = {"image": "image", "video": "clip", "voxels": "shape"}
"""What an example of each kind of data is called."""

PEAK = 2.0
"""Range of an image's values, for PSNR."""


def completions(
    opened: Opened,
    project: Callable[[slice], Projection],
    n: int,
    samples: int,
    *,
    steps: int = 0,
    seed: int,
    batch: int,
) -> Float[Tensor, "samples n *event"]:
    """Several draws of each of n images; draw s of image i follows from (seed, i, s) alone, to rounding.

    Args:
        opened: The run.
        project: The projection onto the observation of some of the images.
        n: Number of images.
        samples: Draws of each.
        steps: Length of the chains (of several levels, of the last one); 0 is as in training.
        seed: Seed of the noise.
        batch: Chains at once.
    """
    opened.require_unconditional()
    draws = []
    for draw in range(samples):
        parts = []
        for start in range(0, n, batch):
            rows = range(start, min(start + batch, n))
            rng = row_streams(seed, rows, draw, device=opened.device)
            part = project(slice(rows.start, rows.stop))
            parts.append(opened.model.complete(part, len(rows), steps=steps, rng=rng).cpu())
        draws.append(torch.cat(parts))
    return torch.stack(draws)


def add_completions(
    opened: Opened,
    found: TaskResult,
    file: Path,
    x: Float[Tensor, "n c *sides"],
    seen: Float[Tensor, "n c *sides"],
    draws: Float[Tensor, "samples n c *sides"],
    others: dict[str, Float[Tensor, "n c *sides"]],
    *,
    figure: str,
    where: Bool[Tensor, "1 *sides"] | None = None,
    shown: dict[str, Tensor] | None = None,
) -> None:
    """Add the pictures and the figures of completed examples to a result.

    Args:
        opened: The run.
        found: The result.
        file: File of the image.
        x: The true images.
        seen: What was observed of them.
        draws: Completions.
        others: Simple completions, the baselines.
        figure: Name of the error of a draw.
        where: The entries that were completed. Defaults to all.
        shown: Further rows of the image.
    """
    spread = draws.std(0, correction=0)
    rows = {"image": x, "observed": seen}
    rows |= {f"draw {s + 1}": draw for s, draw in enumerate(draws[:6])}
    rows |= shown or {}
    if opened.data.kind != "voxels":  # the spread of a shape has no surface to look at
        rows["spread"] = 2 * spread - 1
    found.add(opened.data.compare({name: row[:10] for name, row in rows.items()}, file))
    mean = "PSNR of the draws' mean"
    found.figures |= {
        figure: psnr(draws, x.expand_as(draws), where),
        mean: psnr(draws.mean(0), x, where),
        "spread": float((spread if where is None else spread[where.expand_as(spread)]).mean()),
    }
    for name in (figure, mean):
        found.baselines[name] = {other: psnr(v, x, where) for other, v in others.items()}
    if opened.data.kind == "voxels":
        wrong = "wrong voxels of the draws' mean"
        found.figures[wrong] = wrong_share(draws.mean(0), x, where)
        found.baselines[wrong] = {other: wrong_share(v, x, where) for other, v in others.items()}


def wrong_share(a: Tensor, b: Tensor, where: Bool[Tensor, "..."] | None = None) -> float:
    """Share of the voxels (or of those in ``where``) that are occupied in one of two shapes and empty in the other."""
    wrong = (a > 0) != (b > 0)
    return float((wrong if where is None else wrong[where.expand_as(wrong)]).float().mean())


def psnr(a: Tensor, b: Tensor, where: Bool[Tensor, "..."] | None = None) -> float:
    """Peak signal to noise ratio in dB of the mean squared error over all entries (or those in ``where``)."""
    error = (a - b) ** 2
    if where is not None:
        error = error[where.expand_as(error)]
    return 10 * math.log10(PEAK**2 / max(float(error.mean()), 1e-12))


def nearest(
    x: Float[Tensor, "n *event"], train: Float[Tensor, "m *event"], see: Callable[[Tensor], Tensor]
) -> Float[Tensor, "n *event"]:
    """For each of x the training image that is nearest in what ``see`` shows of both."""
    seen = see(train).flatten(1)
    index = torch.cat([torch.cdist(see(part).flatten(1), seen).argmin(1) for part in x.split(100)])
    return train[index]
