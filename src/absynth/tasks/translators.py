"""Learned translation: a network drafts the other domain's picture, and the EBM of that domain revises it.

Two kinds of model know a way from picture to picture: two unpaired domains with a translator each way, and a target
given its source. :mod:`absynth.tasks.translate` asks here first; where no way was learned, chains must find one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.data import folder
from absynth.data.images import Images
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.tasks.observed import psnr
from absynth.tasks.opened import Opened, in_chunks, result, row_streams
from absynth.types import Rng


@dataclass(frozen=True)
class Way:
    """One direction of translation."""

    source: Images
    """Pictures to translate where the user brings none; their scale is that of the user's."""
    go: Callable[..., tuple[Tensor, Tensor]]
    """``(x, rng=...) -> (draft, revised)``."""
    back: Callable[[Tensor], Tensor] | None = None
    """From a draft back to the source, where there is a way back."""
    truth: Tensor | None = None
    """What the recipe's own sources should become, where that is known."""
    see: Callable[[Tensor], Tensor] = lambda x: x
    """What of a source is shown."""


def ways(opened: Opened) -> dict[str, Way]:
    """The directions that a run has learned, by name; none where it learned no translation of pictures."""
    model: Any = opened.model
    recipe: Any = opened.recipe
    if hasattr(model, "translate") and hasattr(recipe, "domain"):
        x, y = (recipe.domain(d, "test") for d in ("x", "y"))
        return {
            "x_to_y": Way(x, lambda v, *, rng: model.translate(v, "y", rng=rng), model.to_x),
            "y_to_x": Way(y, lambda v, *, rng: model.translate(v, "x", rng=rng), model.to_y),
        }
    if hasattr(model, "draft") and hasattr(recipe, "source"):

        def go(v: Tensor, *, rng: Rng) -> tuple[Tensor, Tensor]:
            c = recipe.source(v.cpu()).to(v.device)
            draft = model.draft(len(c), c, rng=rng)[1]
            return draft, model.revise(draft, c, rng=rng)

        def see(v: Tensor) -> Tensor:
            return recipe.source(v)[:, : v.shape[1]]

        return {"source_to_target": Way(recipe.inputs("test"), go, truth=recipe.images("test").all(), see=see)}
    return {}


def brought(images: str, way: Way) -> Images:
    """A user's own pictures, of the source's size and channels; the source's where none are given."""
    if not images:
        return way.source
    channels, _, size = way.source.x.shape[1:]
    mine = folder.images(Path(images), "all", size=size)
    if mine.x.shape[1] != channels:
        raise InputError(f"expected pictures of {channels} channels as in training, got {mine.x.shape[1]} in {images}")
    low, high = sorted((way.source.low, way.source.high))  # a domain in negative has them exchanged
    return replace(mine, low=low, high=high)


def translated(
    way: Way, x: Float[Tensor, "n c h w"], *, seed: int, batch: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """``(drafts, revised)`` of all x, a stream of noise each."""
    parts = []
    for start, part in in_chunks(x, batch):
        rng = row_streams(seed, range(start, start + len(part)), device=device)
        parts.append([v.cpu() for v in way.go(part.to(device), rng=rng)])
    drafts, revised = (torch.cat(p) for p in zip(*parts))
    return drafts, revised.clamp(-1, 1)


def learned(opened: Opened, images: str, direction: str, n: int, *, seed: int, batch: int) -> TaskResult:
    """Translate pictures by what the run has learned: drafts, revised drafts, and the way back where there is one."""
    known = ways(opened)
    name = direction or next(iter(known))
    if name not in known:
        raise InputError(f"expected --direction {' or '.join(known)}, got {direction!r}")
    way = known[name]
    data = brought(images, way)
    x = data.batch(torch.arange(min(n, len(data))))
    drafts, revised = translated(way, x, seed=seed, batch=batch, device=opened.device)
    place = opened.folder("translate")
    np.savez_compressed(place / "translations.npz", draft=drafts.numpy(), revised=revised.numpy())
    found = result("translate", f"Translation, {name.replace('_', ' ')}", seed, "")
    rows = {"source": way.see(x), "draft": drafts, "revised": revised}
    text = f"{len(x)} pictures of {data.name}: drafts by the network, revised by the EBM of the target."
    if way.back is not None:
        with torch.no_grad():
            rows["back"] = torch.cat([way.back(d.to(opened.device)).cpu() for d in drafts.split(batch)])
        found.figures["cycle error"] = float((rows["back"] - x).abs().mean()) / 2
        text += " The cycle error is that of going there and back, a mean absolute value over the range of a pixel."
    if way.truth is not None and not images:
        rows["truth"] = way.truth[: len(x)]
        found.figures["PSNR"] = psnr(revised, rows["truth"])
        found.baselines["PSNR"] = {"draft": psnr(drafts, rows["truth"])}
        text += " PSNR in dB, to the true targets (peak 2)."
    found.figures["change by revision"] = float((revised - drafts).abs().mean()) / 2
    pictures.rows_with_labels({k: v[:10] for k, v in rows.items()}, place / f"{name}.png")
    found.text = text
    found.pictures.append({"file": f"{name}.png", "caption": ", ".join(rows)})
    found.save(place)
    return found
