"""Ready-made networks by kind and shape of the data: an energy, a generator, an inference model.

They choose among the networks of this package. Vectors (toy sets and tables) get fully connected networks; images get
convolutions, or fully connected networks where ``network="mlp"``.
"""

from __future__ import annotations

from math import prod
from typing import Literal

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


def mlp_energy(dim: int, width: int = 64, act: Activation = "silu", hidden: int = 2) -> nn.Sequential:
    """f of a vector, ``[b, dim] -> [b]``: a fully connected network with smooth activations.

    >>> mlp_energy(dim=2)(torch.zeros(5, 2)).shape
    torch.Size([5])
    """
    return mlp_f(dim, width, act, hidden=hidden)


def conv_energy(channels: int, size: int, width: int = 32, act: Activation = "silu") -> nn.Sequential:
    """f of an image, ``[b, channels, size, size] -> [b]``: strided convolutions without normalization."""
    return channels_last(conv_f(channels, size, width, act))


def channels_last(net: nn.Module) -> nn.Sequential:
    """The network with its weights in channels-last layout: convolutions of few channels run twice as fast on a CPU."""
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
    channels, size = _image(kind, shape)
    if network == "mlp":
        return nn.Sequential(nn.Flatten(), *mlp_f(prod(shape), width, act))
    return channels_last(conv_f(channels, size, width, act, stem=stem))


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
    channels, size = _image(kind, shape)
    if network == "mlp":
        return mlp_generator(latent, width, shape)
    return deconv_generator(latent, size, channels, width)


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
    channels, size = _image(kind, shape)
    if network == "mlp":
        return mlp_encoder(shape, latent, width)
    return conv_encoder(channels, size, latent, width)


def _image(kind: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Channels and side of square images."""
    if kind not in ("image", "pairs") or len(shape) != 3 or shape[1] != shape[2]:
        raise InputError(
            f"expected vectors or square images, got {kind} data of shape {list(shape)}: give --size to crop images, or "
            "networks of your own"
        )
    return shape[0], shape[1]
