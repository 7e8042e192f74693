"""Ready-made networks by kind and shape of the data: an energy, a generator, an inference model.

They choose among the networks of this package. Vectors (toy sets and tables) get fully connected networks; images,
volumes and videos get convolutions, or fully connected networks where ``network="mlp"``.
"""

from __future__ import annotations

from math import prod
from typing import Literal, TypeVar

import torch
from torch import nn

from absynth.errors import InputError
from absynth.networks.convnet import conv_f
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.encoder import conv_encoder, mlp_encoder
from absynth.networks.mlp import Activation, mlp, mlp_f, mlp_generator

Network = Literal["conv", "mlp"]
VECTORS = ("toy", "table")
"""Kinds of data whose examples are vectors."""
GRIDS = {"image": 2, "pairs": 2, "picture": 2, "video": 3, "voxels": 3}
"""Kinds of data whose examples are channels on a grid, and the dimensions of the grid."""

Net = TypeVar("Net", bound=nn.Module)


def mlp_energy(dim: int, width: int = 64, act: Activation = "silu", hidden: int = 2) -> nn.Sequential:
    """f of a vector, ``[b, dim] -> [b]``: a fully connected network with smooth activations.

    >>> mlp_energy(dim=2)(torch.zeros(5, 2)).shape
    torch.Size([5])
    """
    return mlp_f(dim, width, act, hidden=hidden)


def conv_energy(channels: int, size: int, width: int = 32, act: Activation = "silu") -> nn.Sequential:
    """f of an image, ``[b, channels, size, size] -> [b]``: strided convolutions without normalization.

    >>> conv_energy(1, 28)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5])
    """
    return channels_last(conv_f(channels, size, width, act))


def channels_last(net: Net) -> Net:
    """The network with its 2-D convolutions in channels-last layout, in place: about twice as fast on a CPU."""
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def energy(
    kind: str,
    shape: tuple[int, ...],
    width: int,
    *,
    act: Activation = "silu",
    network: Network = "conv",
    stem: Literal[1, 2] = 1,
) -> nn.Sequential:
    """f of an example, ``[b, *shape] -> [b]``.

    >>> energy("voxels", (1, 16, 16, 16), 4)(torch.zeros(2, 1, 16, 16, 16)).shape
    torch.Size([2])

    Args:
        kind: Kind of data.
        shape: Shape of one example.
        width: Maps of the first convolution, or hidden units.
        act: Activation. Smooth ones have bounded curvature, so chains are steadier.
        network: "mlp" for a fully connected network on images.
        stem: Stride of the first convolution; 2 is several times as fast.

    Raises:
        InputError: There is no such network for this kind of data.
    """
    if kind in VECTORS:
        return mlp_f(prod(shape), width, act)
    channels, *sides = _grid(kind, shape)
    if network == "mlp":
        return nn.Sequential(nn.Flatten(), *mlp_f(prod(shape), width, act))
    f = conv_f(channels, sides, width, act, stem=stem)
    return channels_last(f) if len(sides) == 2 else f


def generator(
    kind: str, shape: tuple[int, ...], latent: int, width: int, *, act: Activation = "silu", network: Network = "conv"
) -> nn.Sequential:
    """The mean of p(x|z), ``[b, latent] -> [b, *shape]``; images in [−1, 1].

    Args:
        kind: Kind of data.
        shape: Shape of one example.
        latent: Dimension of z.
        width: Feature factor of the transposed convolutions, or hidden units.
        act: Activation of a generator of vectors.
        network: "mlp" for a fully connected network on images.
    """
    if kind in VECTORS:
        return mlp([latent, width, width, prod(shape)], act)
    channels, *sides = _grid(kind, shape)
    if network == "mlp":
        return mlp_generator(latent, width, shape)
    return deconv_generator(latent, sides, channels, width)


def inference(
    kind: str, shape: tuple[int, ...], latent: int, width: int, *, act: Activation = "silu", network: Network = "conv"
) -> nn.Sequential:
    """The net of q(z|x), ``[b, *shape] -> [b, 2·latent]``: means, then log variances.

    Args:
        kind: Kind of data.
        shape: Shape of one example.
        latent: Dimension of z.
        width: Maps of the first convolution, or hidden units.
        act: Activation of a network on vectors.
        network: "mlp" for a fully connected network on images.
    """
    if kind in VECTORS:
        return mlp_encoder(shape, latent, width, act)
    channels, *sides = _grid(kind, shape)
    if network == "mlp":
        return mlp_encoder(shape, latent, width)
    return conv_encoder(channels, sides, latent, width)


def _grid(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an example on a grid: channels and sides.

    Raises:
        InputError: There are no such networks for this kind of data.
    """
    if GRIDS.get(kind) != len(shape) - 1:
        raise InputError(
            f"expected vectors, images, volumes or videos, got {kind} data of shape {list(shape)}: give networks of "
            "your own"
        )
    return shape
