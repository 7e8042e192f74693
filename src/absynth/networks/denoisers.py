"""Maps from a noisy example and its noise level to a cleaner one: initializers of diffusion recovery."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.networks.mlp import Activation, activation, mlp
from absynth.networks.time_embedding import LevelEmbedding


class MLPDenoiser(nn.Module):
    """``(x [b, dim], t [b]) -> [b, dim]``: x and a correction of it.

    Args:
        dim: Entries of the vector.
        width: Hidden units of each of three layers.
        embedding: Width of the level's embedding.
        scale: Factor on the vector at the first layer.
        act: Activation.
    """

    def __init__(self, dim: int, width: int, embedding: int = 16, scale: float = 3.0, act: Activation = "silu") -> None:
        super().__init__()
        self.scale = scale
        self.embedding = LevelEmbedding(embedding)
        self.net = mlp([dim + embedding, width, width, width, dim], act)
        _begin_at_zero(self.net[-1])

    def forward(self, x: Float[Tensor, "b dim"], t: Int[Tensor, "b"]) -> Float[Tensor, "b dim"]:
        return x + self.net(torch.cat([self.scale * x, self.embedding(t)], 1))


class ConvDenoiser(nn.Module):
    """``(x [b, c, h, w], t [b]) -> [b, c, h, w]``: x and a correction of it, by a small U-Net.

    The level enters as a bias of every map on the way down.

    Args:
        channels: Channels of the image.
        size: Side of the image, a multiple of 4.
        width: Maps at full resolution; twice and four times as many at half and a quarter of it.
        embedding: Width of the level's embedding.
        act: Activation.

    Raises:
        InputError: The side is not a multiple of 4.
    """

    def __init__(self, channels: int, size: int, width: int, embedding: int = 32, act: Activation = "silu") -> None:
        super().__init__()
        if size % 4:
            raise InputError(f"expected images whose side is a multiple of 4, got {size}: resize them")
        widths = [width, 2 * width, 4 * width]
        self.embedding = nn.Sequential(LevelEmbedding(embedding), nn.Linear(embedding, embedding), activation(act))
        first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList([first, *(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))])
        self.biases = nn.ModuleList(nn.Linear(embedding, w) for w in widths)
        self.up = nn.ModuleList(nn.Conv2d(b + a, a, 3, padding=1) for a, b in reversed(list(pairwise(widths))))
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        self.act = activation(act)
        _begin_at_zero(self.last)

    def forward(self, x: Float[Tensor, "b c h w"], t: Int[Tensor, "b"]) -> Float[Tensor, "b c h w"]:
        level, h, seen = self.embedding(t), x, []
        for layer, bias in zip(self.down, self.biases):
            h = self.act(layer(h) + bias(level)[:, :, None, None])
            seen.append(h)
        h = seen.pop()
        for layer in self.up:
            skip = seen.pop()
            h = self.act(layer(torch.cat([nn.functional.interpolate(h, scale_factor=2.0), skip], 1)))
        return x + self.last(h)


def _begin_at_zero(layer: nn.Module) -> None:
    """The map begins as the identity."""
    for p in layer.parameters():
        nn.init.zeros_(p)
