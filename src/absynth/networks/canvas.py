"""Images in synthesis as parameters, and how they change their size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


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
