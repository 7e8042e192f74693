"""What a feature-map z gives: one patch of z changes one patch of the image, and two images' maps mix."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms import LatentPrior
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import open_run, result
from absynth.tasks.reconstruct import examples


def paste(
    z: Float[Tensor, "n maps h w"], other: Float[Tensor, "n maps h w"], rows: slice, columns: slice
) -> Float[Tensor, "n maps h w"]:
    """z with the sites in ``rows`` and ``columns`` taken from another map."""
    z = z.clone()
    z[..., rows, columns] = other[..., rows, columns]
    return z


def window(site: int, sites: int, size: int) -> slice:
    """Pixels within half a cell of a site's own, along one side: the site's cell is ``size / sites`` wide.

    >>> window(0, 4, 28), window(1, 4, 28)
    (slice(0, 10, None), slice(4, 18, None))
    """
    cell = size / sites
    return slice(max(round((site - 0.5) * cell), 0), min(round((site + 1.5) * cell), size))


def effects(
    model: LatentPrior, z: Float[Tensor, "n maps h w"], other: Float[Tensor, "n maps h w"]
) -> Float[Tensor, "h w n H W"]:
    """Squared change of the image, summed over channels, where one site of z is taken from another map."""
    h, w = z.shape[-2:]
    before = model.decode(z)
    found = []
    for i in range(h):
        for j in range(w):
            after = model.decode(paste(z, other, slice(i, i + 1), slice(j, j + 1)))
            found.append(((after - before) ** 2).sum(1))
    return torch.stack(found).unflatten(0, (h, w))


def locality(change: Float[Tensor, "h w n H W"]) -> dict[str, float]:
    """Shares of the sites' effects that fall near them, each site counted alike.

    Returns:
        ``in the window``: within half a cell of the site's cell, a quarter of the image or less; ``in the cell``; and
        ``pixels reached``: the share of the image that any change of the site reaches, its receptive field.
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
    images: str = "",
    seed: int = 0,
    device: str = "auto",
) -> TaskResult:
    """Edit a patch of a feature-map z, and mix two images' maps; measures how local a site's effect is.

    Args:
        run: directory of a trained run whose z is a feature map.
        n: pairs of pictures that are shown; locality is measured on 100 pairs.
        rows: sites that are taken from the second picture, from and up to, along the height.
        columns: the same along the width.
        images: your own pictures (folder, .npz, .npy); empty: the recipe's test split.
        seed: of the noise and of the choice of pairs.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    model = opened.latent()
    shape = model.prior.reference.sample(1, stream(0, device=opened.device)).shape[1:]
    if len(shape) != 3:
        raise InputError(f"edit needs a z that is a feature map, that of {run} has shape {list(shape)}")
    for name, (begin, end), most in (("rows", rows, shape[1]), ("columns", columns, shape[2])):
        if not 0 <= begin < end <= most:
            raise InputError(f"--{name} must be [from,up to] within 0 to {most}, got [{begin},{end}]")
    data = examples(opened, 10_000, images, "")
    pairs = min(max(n, 100), len(data) // 2)
    chosen = data[torch.randperm(len(data), generator=stream(seed, 0, 1))[: 2 * pairs]].to(opened.device)
    first, second = chosen[:pairs], chosen[pairs:]
    rng = stream(seed, device=opened.device)
    a, b = (model.sample_posterior(x, rng=rng) for x in (first, second))
    n, half = min(n, pairs), shape[2] // 2
    everything = slice(0, shape[1])
    shown = {
        "first": first[:n],
        "second": second[:n],
        "first again": model.decode(a[:n]),
        "patch of second": model.decode(paste(a, b, slice(*rows), slice(*columns))[:n]),
        "right of second": model.decode(paste(a, b, everything, slice(half, shape[2]))[:n]),
        "mean of both z": model.decode(((a + b) / 2**0.5)[:n]),
    }
    text = (
        f"z of {shape[1]}×{shape[2]} sites. Rows: two pictures, the first through z, the same with the sites "
        f"{list(rows)}×{list(columns)} of z from the second, with the right half of z from the second, and with the "
        f"mean of both z (as long as a draw of the reference). Locality: one site at a time taken from the second, "
        f"{pairs} pairs; the share of the squared change of the image that falls within half a cell of the site's own "
        "cell (the window: at most a quarter of the image), in the cell itself, and the share of pixels it reaches."
    )
    found = result("edit", "Editing a feature map", seed, text)
    folder = opened.folder("edit")
    found.add(opened.recipe.compare({k: x.cpu() for k, x in shown.items()}, folder / "edits.png"))
    shares = locality(effects(model, a, b))
    found.figures |= {f"effect {k}" if k.startswith("in") else k: v for k, v in shares.items()}
    found.save(folder)
    return found
