"""f of video: spatial-temporal generative ConvNets.

Xie, Zhu, Wu: "Synthesizing Dynamic Patterns by Spatial-Temporal Generative ConvNet", CVPR 2017, arXiv:1606.00972. f is
the sum of the top layer's outputs. Where every layer is local, the model is stationary in space and time: a texture
that moves. Where one layer sees the whole frame, it is stationary in time alone: an object that moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from absynth.networks.feature_maps import SumOut
from absynth.networks.mlp import Activation, activation
from absynth.networks.strided import downsample, require_sides

Stationary = Literal["time", "space_time"]


class SpaceTimeF(nn.Sequential):
    """f of clips of any number of frames, ``[b, channels, t, h, w] -> [b]``.

    A 4×4×4 convolution of stride 2 makes ``width`` maps; further ones halve the sides of the frames until they are 8 to
    15 and leave time alone; a convolution over three moments and the whole frame, or its 3×3 neighbourhood, follows,
    and one over three moments. The receptive field is 16 frames. Stationary, but for the zeros beyond the first and
    the last frame, which all clips have.

    Args:
        channels: Channels of a frame.
        sides: Height and width of a frame, 8 or more.
        width: Maps of the first layer.
        act: Activation.
        stationary: "time" for a layer that sees the whole frame, "space_time" for local layers alone.

    Raises:
        InputError: A side is shorter than 8.

    >>> import torch
    >>> f = SpaceTimeF(3, (32, 32), 4)
    >>> f(torch.zeros(2, 3, 16, 32, 32)).shape, f(torch.zeros(2, 3, 40, 32, 32)).shape
    (torch.Size([2]), torch.Size([2]))
    >>> SpaceTimeF(1, (32, 32), 4, stationary="space_time")(torch.zeros(2, 1, 16, 48, 32)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        channels: int,
        sides: Sequence[int],
        width: int,
        act: Activation = "silu",
        *,
        stationary: Stationary = "time",
    ) -> None:
        require_sides(sides, "a spatial-temporal f")
        layers, (maps, _, *left) = downsample((channels, 8, *sides), width, (4, 2), act=act, least=8)
        # Zeros before and after: else the first and the last frames would count less than the others.
        whole, padding = (left, (2, 0, 0)) if stationary == "time" else ((3, 3), (2, 1, 1))
        super().__init__(
            nn.ConstantPad3d((0, 0, 0, 0, 2, 2), 0.0), *layers,
            nn.Conv3d(maps, 4 * width, (3, *whole), padding=padding), activation(act),
            nn.Conv3d(4 * width, 1, (3, 1, 1), padding=(2, 0, 0)), SumOut(),
        )  # fmt: skip
        self.stationary = stationary
