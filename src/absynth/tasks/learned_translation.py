"""Learned translation: a network makes an initial image of the other domain, and the EBM of that domain refines it.

Two kinds of model know a direction from image to image: two unpaired domains with a translator each way, and a target
given its source. :mod:`absynth.tasks.translate` uses them first; otherwise chains must find the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms import Translation
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.tasks.observed import psnr
from absynth.tasks.opened import Opened, in_chunks, row_streams


@dataclass(frozen=True)
class Sources:
    """What a direction of translation starts from.

    Args:
        x: What the model takes: source images, or conditions.
        shown: The source images.
        name: What they are.
        truth: True targets, where they are known.
    """

    x: Tensor
    shown: Tensor
    name: str
    truth: Tensor | None = None


def has_learned(opened: Opened) -> bool:
    """Whether the run learned to translate images."""
    if not opened.model.translations():
        return False
    if "source_to_target" not in opened.model.translations():
        return True
    c = opened.conditions(1)
    return c is not None and c.ndim == 4


def sources(opened: Opened, direction: str, input: str, n: int) -> Sources:
    """The source images of a direction: yours, or those of the test split with their targets if these are known."""
    if direction != "source_to_target":
        data = opened.full.translation_source(direction)
        if input:
            x = data.parse(Path(input).expanduser())[:n]
            return Sources(x, x, Path(input).name)
        x = data.split("test").head(n)
        return Sources(x, x, data.name)
    channels = opened.data.shape[0]
    if input:
        c = opened.recipe.condition_of(opened.data.parse(Path(input).expanduser())[:n])
        return Sources(c, _shown(c, channels), Path(input).name)
    truth = opened.inputs("", n)[0]
    c = opened.conditions(len(truth))
    assert c is not None
    return Sources(c, _shown(c, channels), opened.data.name, truth)


def _shown(c: Tensor, channels: int) -> Tensor:
    """A condition as an image: as it is, or without the channels that are no colours."""
    return c if c.shape[1] in (1, 3) else c[:, :channels]


def translate_all(
    way: Translation, x: Float[Tensor, "n c h w"], *, seed: int, batch: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """``(initial, refined)`` translations of all x, a stream of noise each."""
    parts = []
    for start, part in in_chunks(x, batch):
        rng = row_streams(seed, range(start, start + len(part)), device=device)
        parts.append([v.cpu() for v in way.apply(part.to(device), rng=rng)])
    initial, refined = (torch.cat(p) for p in zip(*parts))
    return initial, refined.clamp(-1, 1)


def translate_as_learned(opened: Opened, input: str, direction: str, n: int, *, seed: int, batch: int) -> TaskResult:
    """Translate images by what the run has learned: initial and refined images, and back where there is a way back."""
    known = opened.model.translations()
    name = direction or next(iter(known))
    if name not in known:
        raise InputError(f"expected --direction {' or '.join(known)}, got {direction!r}")
    way, given = known[name], sources(opened, name, input, n)
    initial, refined = translate_all(way, given.x, seed=seed, batch=batch, device=opened.device)
    np.savez_compressed(opened.folder / "translations.npz", initial=initial.numpy(), refined=refined.numpy())
    rows = {"source": given.shown, "initial": initial, "refined": refined}
    text = f"{len(given.x)} images of {given.name}: initial ones by the network, refined by the EBM of the target."
    found = opened.result(f"Translation, {name.replace('_', ' ')}", text, seed)
    if way.invert is not None:
        with torch.no_grad():
            rows["back"] = torch.cat([way.invert(part.to(opened.device)).cpu() for part in initial.split(batch)])
        found.figures["cycle error"] = float((rows["back"] - given.x).abs().mean()) / 2
        found.text += " The cycle error is that of going there and back: mean absolute error over the range of a pixel."
    if given.truth is not None:
        rows["truth"] = given.truth
        found.figures["PSNR"] = psnr(refined, given.truth)
        found.baselines["PSNR"] = {"initial": psnr(initial, given.truth)}
        found.text += " PSNR in dB, to the true targets (peak 2)."
    found.figures["change by refinement"] = float((refined - initial).abs().mean()) / 2
    if given.x.ndim == 4:
        pictures.rows_with_labels({k: v[:10] for k, v in rows.items()}, opened.folder / f"{name}.png")
        found.pictures.append({"file": f"{name}.png", "caption": ", ".join(rows)})
    return opened.save(found)
