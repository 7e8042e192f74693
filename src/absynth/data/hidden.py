"""What is hidden of clips and volumes, for learning from incomplete data and for completing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from absynth.errors import InputError
from absynth.types import Rng

Hidden = Literal["pixels", "frames", "block"]


def hidden(
    sides: Sequence[int], kind: Hidden, share: float, *, rng: Rng, whole: bool = False
) -> Bool[Tensor, "1 a b c"]:
    """True where an example is hidden.

    Args:
        sides: Frames, height and width of a clip, or the sides of a volume.
        kind: "pixels": each with probability ``share``. "frames": so many of all frames, anywhere. "block": a rectangle
            in the middle of every frame; of a volume, its end along the first axis.
        share: Share that is hidden, strictly between 0 and 1.
        rng: Chooses pixels and frames.
        whole: Whether the sides are those of a volume.

    Raises:
        InputError: The share would hide nothing or everything.

    >>> from absynth.seeding import stream
    >>> hidden((4, 8, 8), "frames", 0.5, rng=stream(0)).float().mean()
    tensor(0.5000)
    """
    n, height, width = sides
    mask = torch.zeros(1, *sides, dtype=torch.bool)
    if kind == "pixels":
        mask = torch.rand(1, *sides, generator=rng) < share  # type: ignore[arg-type]
    elif kind == "frames":
        mask[:, torch.randperm(n, generator=rng)[: round(share * n)]] = True  # type: ignore[arg-type]
    elif whole:
        mask[:, n - round(share * n) :] = True
    else:
        h, w = (round(side * share**0.5) for side in (height, width))
        top, left = (height - h) // 2, (width - w) // 2
        mask[:, :, top : top + h, left : left + w] = True
    if mask.all() or not mask.any():
        size = "×".join(map(str, sides))
        raise InputError(
            f"expected to hide a part of {size}, got a share of {share:g} of its {kind}: give another share"
        )
    return mask


def through_time(x: Float[Tensor, "n c t h w"], hole: Bool[Tensor, "1 t h w"]) -> Float[Tensor, "n c t h w"]:
    """Clips whose hidden pixels are interpolated between the nearest observed moments of the same pixel.

    Where a pixel is never observed, it is the mean of what is observed of the clip.
    """
    t = x.shape[2]
    seen = ~hole[0]
    time = torch.arange(t, device=x.device).view(t, 1, 1).expand_as(seen)
    last = torch.where(seen, time, -1).cummax(0).values
    after = torch.where(seen, time, t).flip(0).cummin(0).values.flip(0)
    known = seen.any(0)
    before, ahead = last.where(last >= 0, after).clamp(0, t - 1), after.where(after < t, last).clamp(0, t - 1)
    weight = (time - before).float() / (ahead - before).clamp(min=1)
    values = (x.gather(2, i.expand_as(x)) for i in (before, ahead))
    filled = torch.lerp(*values, weight.expand_as(x))
    observed = seen.expand_as(x).float()
    mean = (x * observed).flatten(2).sum(2) / observed.flatten(2).sum(2).clamp(min=1)
    filled = torch.where(known, filled, mean[:, :, None, None, None])
    return torch.where(hole, filled, x)
