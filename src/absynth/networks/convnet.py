"""f of images, sequences and volumes by strided convolutions (Nijkamp et al. 2019, arXiv:1904.09770, appendix)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from absynth.networks.mlp import Activation, activation
from absynth.networks.strided import CONVOLUTIONS, downsample, require_sides, sides_of


def conv_f(
    channels: int,
    size: int | Sequence[int],
    width: int,
    act: Activation = "silu",
    leak: float = 0.2,
    *,
    stem: Literal[1, 2] = 1,
) -> nn.Sequential:
    """f of an example, ``[b, channels, *sides] -> [b]``.

    A 3×3 convolution makes ``width`` maps; each further 4×4 convolution halves the side and doubles the maps, until the
    side is 4 to 7; the last convolution sees the whole of it. Nijkamp et al. use width 64 and a leaky ReLU; a smooth
    activation has bounded curvature and allows a larger learning rate.

    Most of the time goes into the maps of the full side. With ``stem`` 2 the first convolution halves as well, and the
    side ends at 3 to 5: four times the parameters in less than half the time.

    Args:
        channels: Channels of an example.
        size: Side of a square image, or the sides of an example with 1, 2 or 3 dimensions; 8 or more.
        width: Maps of the first layer (n_f).
        act: Activation.
        leak: Slope of a leaky ReLU.
        stem: Stride of the first convolution, of 3×3 where it is 1 and of 4×4 where it is 2.

    Raises:
        InputError: A side is shorter than 8.

    >>> import torch
    >>> conv_f(3, 28, 8)(torch.zeros(5, 3, 28, 28)).shape
    torch.Size([5])
    >>> conv_f(1, (16, 16, 16), 4)(torch.zeros(2, 1, 16, 16, 16)).shape
    torch.Size([2])
    """
    require_sides(size, "a convolutional f", "use mlp_f")
    kernel_and_stride, least = ((3, 1), 4) if stem == 1 else ((4, 2), 3)
    layers, (maps, *sides) = downsample(
        (channels, *sides_of(size)), width, kernel_and_stride, act=act, leak=leak, least=least
    )
    return nn.Sequential(*layers, CONVOLUTIONS[len(sides)](maps, 1, tuple(sides)), nn.Flatten(0))


def small_conv_f(channels: int, size: int | Sequence[int], width: int, act: Activation = "silu") -> nn.Sequential:
    """f of an example too small to be halved, ``[b, channels, *sides] -> [b]``: two 3×3 convolutions and a last one.

    >>> import torch
    >>> small_conv_f(3, 4, 8)(torch.zeros(5, 3, 4, 4)).shape
    torch.Size([5])
    """
    sides = sides_of(size)
    convolution = CONVOLUTIONS[len(sides)]
    return nn.Sequential(
        convolution(channels, width, 3, padding=1), activation(act), convolution(width, width, 3, padding=1),
        activation(act), convolution(width, 1, sides), nn.Flatten(0),
    )  # fmt: skip
