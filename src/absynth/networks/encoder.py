"""Networks of inference models: from an example to the mean and log variance of its z.

They are the ``net`` of :class:`absynth.distributions.GaussianInference`, which splits their output in two. None of them
normalizes over a batch: what is inferred of one example must not depend on its neighbours.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import nn

from absynth.errors import InputError
from absynth.networks.mlp import Activation, activation, mlp


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
    channels: int, size: int, latent: int, width: int, act: Activation = "leaky_relu", leak: float = 0.2
) -> nn.Sequential:
    """``[b, channels, size, size] -> [b, 2·latent]`` by strided convolutions (Han et al. 2019, Cui and Han 2023).

    A 3×3 convolution makes ``width`` maps; each further 4×4 convolution halves the side and doubles the maps (up to
    8·width), until the side is 4 to 7; the last convolution sees the whole of it. The mirror of the deconvolutional
    generator.

    Args:
        channels: of the image.
        size: side of the image in pixels, 8 or more.
        latent: d, the dimension of z.
        width: maps of the first layer.
        act: the activation.
        leak: slope of a leaky ReLU.

    Raises:
        InputError: the image is smaller than 8×8.

    >>> import torch
    >>> conv_encoder(3, 28, 16, 8)(torch.zeros(5, 3, 28, 28)).shape
    torch.Size([5, 32])
    """
    if size < 8:
        raise InputError(f"a convolutional encoder needs images of 8x8 pixels or more, got {size}x{size}: use mlp")
    side, widths = size, [width]
    while side >= 8:
        side, widths = side // 2, [*widths, min(2 * widths[-1], 8 * width)]
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), activation(act, leak)]
    for n_in, n_out in pairwise(widths):
        layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), activation(act, leak)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 2 * latent, side), nn.Flatten())
