"""Classifiers without normalization layers, whose logits may serve as energies, ``[b, *shape] -> [b, classes]``."""

from __future__ import annotations

from math import prod

from torch import nn

from absynth.networks.mlp import Activation, mlp
from absynth.networks.ready import VECTORS, Network, channels_last
from absynth.networks.strided import CONVOLUTIONS, downsample, require_sides


def classifier(
    kind: str,
    shape: tuple[int, ...],
    classes: int,
    width: int,
    *,
    act: Activation = "silu",
    network: Network = "conv",
    hidden: int = 2,
) -> nn.Sequential:
    """Logits of an example.

    Args:
        kind: Kind of data.
        shape: Shape of one example.
        classes: Number of logits.
        width: Hidden units, or maps of the first convolution.
        act: Activation; smooth ones keep chains steady.
        network: "mlp" for a fully connected network on images.
        hidden: Hidden layers of a fully connected network.

    >>> import torch
    >>> classifier("image", (1, 8, 8), 10, 4)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    if kind in VECTORS or network == "mlp":
        return nn.Sequential(nn.Flatten(), *mlp([prod(shape), *[width] * hidden, classes], act))
    require_sides(shape[1:], "a convolutional classifier", "use the network mlp")
    layers, (maps, *sides) = downsample(shape, width, (4, 2) if min(shape[1:]) >= 16 else (3, 1), act=act, least=3)
    head = CONVOLUTIONS[len(sides)](maps, classes, tuple(sides))
    net = nn.Sequential(*layers, head, nn.Flatten())
    return channels_last(net) if len(sides) == 2 else net
