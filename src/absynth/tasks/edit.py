"""Editing with a latent feature map: one patch of z changes one patch of the image, and two images' maps mix."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms import Algorithm
from absynth.errors import InputError, Unsupported
from absynth.report import Picture, TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import check_positive, open_run

TITLE = "Editing a latent feature map"
NEEDS = "a latent variable that is a feature map"
REPORT: dict | None = {}


def paste(
    z: Float[Tensor, "n maps h w"], other: Float[Tensor, "n maps h w"], rows: slice, columns: slice
) -> Float[Tensor, "n maps h w"]:
    """z with the spatial locations in ``rows`` and ``columns`` taken from another map."""
    z = z.clone()
    z[..., rows, columns] = other[..., rows, columns]
    return z


def window(site: int, sites: int, size: int) -> slice:
    """Pixels within half a cell of a location's own, along one side: its cell is ``size / sites`` wide.

    >>> window(0, 4, 28), window(1, 4, 28)
    (slice(0, 10, None), slice(4, 18, None))
    """
    cell = size / sites
    return slice(max(round((site - 0.5) * cell), 0), min(round((site + 1.5) * cell), size))


def effects(
    model: Algorithm, z: Float[Tensor, "n maps h w"], other: Float[Tensor, "n maps h w"]
) -> Float[Tensor, "h w n H W"]:
    """Squared change of the image, summed over channels, if one location of z is taken from another map."""
    h, w = z.shape[-2:]
    before = model.generate(z)
    found = []
    for i in range(h):
        for j in range(w):
            after = model.generate(paste(z, other, slice(i, i + 1), slice(j, j + 1)))
            found.append(((after - before) ** 2).sum(1))
    return torch.stack(found).unflatten(0, (h, w))


def locality(change: Float[Tensor, "h w n H W"]) -> dict[str, float]:
    """Shares of the locations' effects that fall near them, each location counted alike.

    Returns:
        ``in the window``: within half a cell of the location's cell, a quarter of the image or less; ``in the cell``;
        and ``pixels reached``: the share of the image that a change of the location reaches, its receptive field.
    """
    h, w, _, height, width = change.shape
    near, own, reached = [], [], []
    for i in range(h):
        for j in range(w):
            effect = change[i, j].sum(0)
            total = effect.sum().clamp(min=1e-30)
            rows, columns = window(i, h, height), window(j, w, width)
            cell = effect[i * height // h : (i + 1) * height // h, j * width // w : (j + 1) * width // w]
            near.append(float(effect[rows, columns].sum() / total))
            own.append(float(cell.sum() / total))
            reached.append(float((effect > 1e-12 * effect.max()).float().mean()))
    values = {"in the window": near, "in the cell": own, "pixels reached": reached}
    return {name: sum(shares) / len(shares) for name, shares in values.items()}


def command(
    run: Path,
    n: int = 8,
    rows: tuple[int, int] = (0, 2),
    columns: tuple[int, int] = (0, 2),
    input: str = "",
    seed: int = 0,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Edit a patch of a latent feature map, and mix two images' maps; measures how local a location's effect is.

    Args:
        run: Run directory.
        n: Number of pairs of images that are shown; locality is measured on 100 pairs.
        rows: Locations that are taken from the second image, from and up to, along the height.
        columns: The same along the width.
        input: File or folder of your own images. Defaults to the test split.
        seed: Seed of the noise and of the choice of pairs.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/edit.
        device: auto, cpu, cuda.
    """
    check_positive(n=n)
    opened = open_run(run, device, task="edit", data=data, out=out)
    opened.require_kind("image")
    opened.require_unconditional()
    model = opened.model
    shape = model.latent_density().reference.sample(1, stream(0, device=opened.device)).shape[1:]
    if len(shape) != 3:
        raise Unsupported(f"edit needs {NEEDS}, that of {run} has shape {list(shape)}")
    for name, (begin, end), most in (("rows", rows, shape[1]), ("columns", columns, shape[2])):
        if not 0 <= begin < end <= most:
            raise InputError(f"--{name} must be [from,up to] within 0 to {most}, got [{begin},{end}]")
    examples, _ = opened.inputs(input, 10_000)
    pairs = min(max(n, 100), len(examples) // 2)
    chosen = examples[torch.randperm(len(examples), generator=stream(seed, 0, 1))[: 2 * pairs]].to(opened.device)
    first, second = chosen[:pairs], chosen[pairs:]
    rng = stream(seed, device=opened.device)
    a, b = (model.sample_posterior(x, rng=rng) for x in (first, second))
    n, half = min(n, pairs), shape[2] // 2
    everything = slice(0, shape[1])
    shown = {
        "first": first[:n],
        "second": second[:n],
        "first reconstructed": model.generate(a[:n]),
        "patch of second": model.generate(paste(a, b, slice(*rows), slice(*columns))[:n]),
        "right of second": model.generate(paste(a, b, everything, slice(half, shape[2]))[:n]),
        "mean of both z": model.generate(((a + b) / 2**0.5)[:n]),
    }
    text = (
        f"z of {shape[1]}×{shape[2]} locations. Rows: two images, the first through z, the same with the locations "
        f"{list(rows)}×{list(columns)} of z from the second, with the right half of z from the second, and with the "
        "mean of both z (scaled to the length of a draw of the reference). Locality: one location at a time taken from "
        f"the second, {pairs} pairs; the share of the squared change of the image that falls within half a cell of the "
        "location's own cell (the window: at most a quarter of the image), in the cell itself, and the share of pixels "
        "it reaches."
    )
    found = opened.result(TITLE, text, seed)
    found.add(opened.data.compare({k: x.cpu() for k, x in shown.items()}, opened.folder / "edits.png"))
    change = effects(model, a, b)
    maps = change.mean(2).flatten(0, 1)[:, None].cpu()
    pictures.grid(2 * maps / maps.max().clamp(min=1e-12) - 1, opened.folder / "locality.png", columns=shape[2])
    caption = "mean squared change of the image, a map for each location of z, placed as the locations are"
    found.add([Picture(file="locality.png", caption=caption)])
    shares = locality(change)
    found.figures |= {f"effect {k}" if k.startswith("in") else k: v for k, v in shares.items()}
    return opened.save(found)
