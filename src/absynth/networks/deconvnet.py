"""Generators of images, sequences and volumes by transposed convolutions (Pang et al. 2020, Table 6)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from absynth.errors import InputError
from absynth.networks.strided import TRANSPOSED, sides_of, upsample


def first_size(size: int) -> tuple[int, int]:
    """``(base, doublings)`` with size = base · 2^doublings and base from 4 to 7.

    >>> first_size(32), first_size(28), first_size(64)
    ((4, 3), (7, 2), (4, 4))
    """
    base, doublings = size, 0
    while base > 7 and base % 2 == 0:
        base, doublings = base // 2, doublings + 1
    if not 4 <= base <= 7:
        raise InputError(
            f"a deconvolutional generator needs a size of 4 to 7 times a power of two, got {size}: "
            "give --size (28, 32, 48, 64 ...) to resize, or use a fully connected generator"
        )
    return base, doublings


def deconv_generator(
    latent: int, size: int | Sequence[int], channels: int, ngf: int, leak: float = 0.1
) -> nn.Sequential:
    """``[b, latent] -> [b, channels, *sides]`` in [−1, 1]: the SVHN and CelebA generators of Table 6, for any size.

    A first layer makes a map of side 4 to 7 with 8·ngf features; each further one doubles the side and halves the
    features; the last one makes the example.

    Args:
        latent: Dimension of z.
        size: Side of a square image, or the sides of an example with 1, 2 or 3 dimensions.
        channels: Channels of an example.
        ngf: Features of the last map but one of four; the first map has eight times as many.
        leak: Slope of the leaky ReLUs.

    Raises:
        InputError: A side is not 4 to 7 times a power of two.

    >>> import torch
    >>> deconv_generator(2, (16, 16, 16), 1, 4)(torch.zeros(3, 2)).shape
    torch.Size([3, 1, 16, 16, 16])
    """
    sides = sides_of(size)
    start = (max(8 * ngf, 8), *(first_size(side)[0] for side in sides))
    return _from_vector(latent, start, (channels, *sides), 4 * ngf, leak)


def deconv_generator_cifar10(latent: int, ngf: int, leak: float = 0.1) -> nn.Sequential:
    """``[b, latent] -> [b, 3, 32, 32]``: the CIFAR-10 generator of Table 6, which starts from an 8×8 map."""
    return _from_vector(latent, (8 * ngf, 8, 8), (3, 32, 32), 4 * ngf, leak, smooth=True)


def _from_vector(
    latent: int, start: tuple[int, ...], shape: tuple[int, ...], width: int, leak: float, *, smooth: bool = False
) -> nn.Sequential:
    """A layer that makes a feature map of a vector, and the stack above it."""
    sides = start[1:]
    first = TRANSPOSED[len(sides)](latent, start[0], sides)
    above = upsample(start, shape, width, leak=leak, narrowest=1 if smooth else 8, smooth=smooth)
    return nn.Sequential(nn.Unflatten(1, (latent, *[1] * len(sides))), first, nn.LeakyReLU(leak), *above, nn.Tanh())
