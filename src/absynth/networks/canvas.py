"""Images in synthesis as parameters, how they change their size, and descent in their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from absynth.seeding import noise_like
from absynth.types import Rng


@dataclass(frozen=True)
class Scales:
    """The scales of a pyramid, coarsest first.

    Args:
        steps: Updates of each scale.
        factor: Ratio of one scale to the next.
        margin: Pixels beyond each edge in synthesis, which are cut off at the end of a scale.
    """

    steps: tuple[int, ...]
    factor: float = 2**0.5
    margin: int = 0

    def __len__(self) -> int:
        return len(self.steps)

    def sizes(self, size: Sequence[int]) -> list[list[int]]:
        """Height and width at each scale of an image of that size."""
        return [[round(side / self.factor**k) for side in size] for k in reversed(range(len(self)))]

    def with_margin(self, size: Sequence[int]) -> list[int]:
        """The size in synthesis of an image."""
        return [side + 2 * self.margin for side in size]

    def without_margin(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """The image that is left of one in synthesis."""
        return x[..., self.margin : x.shape[2] - self.margin, self.margin : x.shape[3] - self.margin]

    def enlarged(self, x: Float[Tensor, "b c h w"], size: Sequence[int]) -> Float[Tensor, "b c h2 w2"]:
        """Images of a coarser scale in the size in synthesis of the next."""
        inner = resized(x, [side - 2 * self.margin for side in size])
        return F.pad(inner, [self.margin] * 4, mode="replicate")

    def at(self, share: float) -> tuple[int, float]:
        """The scale at a share of all updates, and the share of that scale's updates that is done."""
        done = share * sum(self.steps)
        level = next((k for k, n in enumerate(accumulate(self.steps)) if done < n), len(self) - 1)
        return level, (done - sum(self.steps[:level])) / self.steps[level]


class Canvas(nn.Module):
    """The images in synthesis, one parameter ``[n, c, height, width]`` for each scale."""

    def __init__(self, n: int, channels: int, sizes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.scales = nn.ParameterList([torch.zeros(n, channels, *size) for size in sizes])

    def extra_repr(self) -> str:
        return f"sizes={[tuple(p.shape[-2:]) for p in self.scales]}"


def resized(x: Float[Tensor, "b c h w"], size: Sequence[int]) -> Float[Tensor, "b c h2 w2"]:
    """Images in another size, by bicubic interpolation without aliases."""
    return F.interpolate(x, size=tuple(size), mode="bicubic", antialias=True, align_corners=False)


def fading(noise: float, done: float) -> float:
    """Standard deviation of noise that is gone after four fifths of the updates."""
    return noise * max(0.0, 1 - done / 0.8)


def descended(
    distance: Callable[[Tensor], Tensor],
    x: Float[Tensor, "b c h w"],
    steps: int,
    step_size: float,
    *,
    noise: float = 0.0,
    rng: Rng,
) -> Float[Tensor, "b c h w"]:
    """Images that minimize a distance, by Adam on their pixels.

    Args:
        distance: Distance of each image, ``[b]``.
        x: Images to begin at.
        steps: Number of updates.
        step_size: Learning rate, which falls to 0 in the second half of the updates.
        noise: Standard deviation of noise that is added to the pixels, fading out.
        rng: Source of randomness.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x = x.clone().requires_grad_()
        adam = torch.optim.Adam([x], step_size)
        for k in range(steps):
            for group in adam.param_groups:
                group["lr"] = step_size * min(1.0, 2 * (1 - k / steps))
            if noise:
                with torch.no_grad():
                    x.add_(fading(noise, k / steps) * noise_like(x, rng))
            x.grad = None
            distance(x).sum().backward()
            adam.step()
    return x.detach()
