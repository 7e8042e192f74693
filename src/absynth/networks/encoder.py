"""Networks of inference models: from an example to the mean and log variance of its z.

They are the ``net`` of :class:`absynth.distributions.GaussianInference`, which splits their output in two. None of them
normalizes over a batch: what is inferred of one example must not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from absynth.networks.mlp import Activation, mlp
from absynth.networks.strided import CONVOLUTIONS, downsample, require_sides, sides_of


def mlp_encoder(
    shape: tuple[int, ...], latent: int, width: int, act: Activation = "leaky_relu", hidden: int = 2
) -> nn.Sequential:
    """``[b, *shape] -> [b, 2·latent]``, fully connected: means, then log variances.

    >>> import torch
    >>> mlp_encoder((1, 4, 4), 3, 8)(torch.zeros(5, 1, 4, 4)).shape
    torch.Size([5, 6])
    """
    return nn.Sequential(nn.Flatten(), *mlp([prod(shape), *[width] * hidden, 2 * latent], act))


def conv_encoder(
    channels: int,
    size: int | Sequence[int],
    latent: int,
    width: int,
    act: Activation = "leaky_relu",
    leak: float = 0.2,
) -> nn.Sequential:
    """``[b, channels, *sides] -> [b, 2·latent]`` by strided convolutions (Han et al. 2019, Cui and Han 2023).

    A 3×3 convolution makes ``width`` maps; each further 4×4 convolution halves the side and doubles the maps (up to
    8·width), until the side is 4 to 7; the last convolution sees the whole of it. The mirror of the deconvolutional
    generator.

    Args:
        channels: Channels of an example.
        size: Side of a square image, or the sides of an example with 1, 2 or 3 dimensions; 8 or more.
        latent: Dimension of z.
        width: Maps of the first layer.
        act: Activation.
        leak: Slope of a leaky ReLU.

    Raises:
        InputError: A side is shorter than 8.

    >>> import torch
    >>> conv_encoder(3, 28, 16, 8)(torch.zeros(5, 3, 28, 28)).shape
    torch.Size([5, 32])
    """
    require_sides(size, "a convolutional encoder", "use mlp")
    layers, (maps, *sides) = downsample((channels, *sides_of(size)), width, act=act, leak=leak, widest=8 * width)
    return nn.Sequential(*layers, CONVOLUTIONS[len(sides)](maps, 2 * latent, tuple(sides)), nn.Flatten())
