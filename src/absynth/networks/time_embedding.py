"""f(x, t) of a noise schedule: one network for all levels, which takes the level by an embedding."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.networks.mlp import Activation, activation, mlp
from absynth.networks.strided import downsample, require_sides


class LevelEmbedding(nn.Module):
    """``t [b] -> [b, width]``: sines and cosines of t at frequencies from 1 down to 1/``slowest``, geometrically.

    It takes any number of levels: a schedule of six and one of a thousand differ in ``slowest`` alone.
    """

    frequencies: Tensor

    def __init__(self, width: int, slowest: float = 100.0) -> None:
        super().__init__()
        if width < 4 or width % 2:
            raise InputError(f"an embedding's width must be even and at least 4, got {width}")
        fractions = torch.arange(width // 2) / (width // 2 - 1)
        self.register_buffer("frequencies", torch.exp(-math.log(slowest) * fractions), persistent=False)

    def forward(self, t: Int[Tensor, "b"]) -> Float[Tensor, "b width"]:
        angles = t.to(self.frequencies.dtype)[:, None] * self.frequencies
        return torch.cat([angles.sin(), angles.cos()], 1)


class Tempered(nn.Module):
    """F(y, t) = f(y, t) / s_t²: a network in units of its chain's step, so that a step moves by half its gradient.

    Args:
        net: f.
        steps: s_t of each level.
    """

    steps: Tensor

    def __init__(self, net: nn.Module, steps: Float[Tensor, "levels"]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("steps", steps)

    def forward(self, y: Float[Tensor, "b *event"], t: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        return self.net(y, t) / self.steps[t].square()


class LevelMLP(nn.Module):
    """f of a vector and its level, ``([b, dim], [b]) -> [b]``.

    Args:
        dim: of the vector.
        width: hidden units of each of three layers.
        embedding: width of the level's embedding.
        scale: factor on the vector. Smooth activations resolve little at the scale of one unit: eight Gaussians of
            standard deviation 0.15 need about 3.
        act: the activation.
    """

    def __init__(self, dim: int, width: int, embedding: int = 16, scale: float = 3.0, act: Activation = "silu") -> None:
        super().__init__()
        self.scale = scale
        self.embedding = LevelEmbedding(embedding)
        self.net = mlp([dim + embedding, width, width, width, 1], act)

    def forward(self, x: Float[Tensor, "b dim"], t: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        return self.net(torch.cat([self.scale * x, self.embedding(t)], 1)).squeeze(1)


class LevelConv(nn.Module):
    """f of an image and its level, ``([b, channels, size, size], [b]) -> [b]``.

    The layers of :func:`absynth.networks.convnet.conv_f`; the level enters as a bias of every map of every layer, and
    in the end as an inner product with the features (Gao et al. 2021, appendix B, whose residual blocks this is a small
    form of).

    Args:
        channels: of the image.
        size: its side, 8 or more.
        width: maps of the first layer; they double where the side halves.
        embedding: width of the level's embedding.
        act: the activation.
    """

    def __init__(self, channels: int, size: int, width: int, embedding: int = 32, act: Activation = "silu") -> None:
        super().__init__()
        require_sides(size, "a convolutional f")
        stack, (top, *sides) = downsample((channels, size, size), width, act=act)
        convolutions = [layer for layer in stack if isinstance(layer, nn.Conv2d)]
        self.embedding = nn.Sequential(LevelEmbedding(embedding), nn.Linear(embedding, embedding), activation(act))
        self.convolutions = nn.ModuleList(convolutions)
        self.biases = nn.ModuleList(nn.Linear(embedding, c.out_channels, bias=False) for c in convolutions)
        self.act = activation(act)
        self.features = nn.Conv2d(top, embedding, tuple(sides))
        self.head = nn.Linear(embedding, embedding)

    def forward(self, x: Float[Tensor, "b c h w"], t: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        level = self.embedding(t)
        for convolution, bias in zip(self.convolutions, self.biases):
            x = self.act(convolution(x) + bias(level)[:, :, None, None])
        return (self.features(x).flatten(1) * self.head(level)).sum(1)
