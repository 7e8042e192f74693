"""Generators of images by transposed convolutions (Pang et al. 2020, Table 6)."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from absynth.errors import InputError


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
            "give --size (28, 32, 48, 64 ...) to resize, or --generator mlp"
        )
    return base, doublings


def deconv_generator(latent: int, size: int, channels: int, ngf: int, leak: float = 0.1) -> nn.Sequential:
    """``[b, latent] -> [b, channels, size, size]``: the SVHN and CelebA generators of Table 6, for any size.

    A first layer makes a base×base map of ngf·8 features, each further one doubles the side and halves the features;
    the last one makes the image.
    """
    base, doublings = first_size(size)
    widths = [max(ngf * 8 // 2**i, 8) for i in range(max(doublings, 1))]
    layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1)), nn.ConvTranspose2d(latent, widths[0], base)]
    for n_in, n_out in pairwise(widths):
        layers += [nn.LeakyReLU(leak), nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)]
    layers.append(nn.LeakyReLU(leak))
    if doublings:
        layers.append(nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1))
    else:
        layers.append(nn.ConvTranspose2d(widths[-1], channels, 3, padding=1))
    return nn.Sequential(*layers, nn.Tanh())


def deconv_generator_cifar10(latent: int, ngf: int, leak: float = 0.1) -> nn.Sequential:
    """``[b, latent] -> [b, 3, 32, 32]``: the CIFAR-10 generator of Table 6, which starts from an 8×8 map."""
    return nn.Sequential(
        nn.Unflatten(1, (latent, 1, 1)),
        nn.ConvTranspose2d(latent, ngf * 8, 8),
        nn.LeakyReLU(leak),
        nn.ConvTranspose2d(ngf * 8, ngf * 4, 4, stride=2, padding=1),
        nn.LeakyReLU(leak),
        nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, stride=2, padding=1),
        nn.LeakyReLU(leak),
        nn.ConvTranspose2d(ngf * 2, 3, 3, padding=1),
        nn.Tanh(),
    )
