"""Generators with a latent vector in every layer (Nijkamp et al. 2020, arXiv:1912.01909, "Learning multi-layer latent
variable model via variational optimization of short run MCMC for approximate inference").

    z_L = ε_L,   h_L = stem(z_L)
    z_l = μ_l(h_{l+1}) + σ_l(h_{l+1}) ε_l,   h_l = stage_l(h_{l+1} + join_l(z_l))       l = L−1 … 1
    x   = out(h_1) + noise

Every random thing is a standardised noise ε_l ~ N(0, I). So to an algorithm this is a generator of one vector, the ε
of all layers side by side (the top one first): a chain that infers it moves all layers at once, and the prior's part of
its score is −ε whatever the layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from absynth.errors import InputError
from absynth.networks.deconvnet import first_size
from absynth.networks.mlp import Activation, activation


class Layered(nn.Module):
    """``[b, sum(latents)] -> x``, through one stage a latent vector below the top one.

    Args:
        latents: dimensions of the ε, the top layer's first.
        stem: z_L to features.
        heads: features to the mean and spread of z_l, ``[b, 2·d]``; softplus makes the spread σ_l.
        joins: z_l to something of the features' shape, which is added to them.
        stages: the sum to the next features.
        out: the last features to x.
    """

    def __init__(
        self,
        latents: Sequence[int],
        stem: nn.Module,
        heads: Sequence[nn.Module],
        joins: Sequence[nn.Module],
        stages: Sequence[nn.Module],
        out: nn.Module,
    ) -> None:
        super().__init__()
        if not len(heads) == len(joins) == len(stages) == len(latents) - 1:
            raise InputError(
                f"expected one head, join and stage a layer below the top one, {len(latents) - 1}, got "
                f"{len(heads)}, {len(joins)} and {len(stages)}"
            )
        self.latents = list(latents)
        self.stem, self.out = stem, out
        self.heads, self.joins, self.stages = map(nn.ModuleList, (heads, joins, stages))

    def forward(self, noise: Tensor) -> Tensor:
        h = self.stem(noise[:, : self.latents[0]])
        first = self.latents[0]
        for d, head, join, stage in zip(self.latents[1:], self.heads, self.joins, self.stages, strict=True):
            epsilon, first = noise[:, first : first + d], first + d
            moments = head(h)
            h = stage(h + join(moments[:, :d] + nn.functional.softplus(moments[:, d:]) * epsilon))
        return self.out(h)


def layered_mlp(latents: Sequence[int], width: int, shape: tuple[int, ...], act: Activation = "leaky_relu") -> Layered:
    """A fully connected one, to ``[b, *shape]`` in [-1, 1].

    >>> import torch
    >>> layered_mlp([4, 3, 2], 8, (1, 6, 6))(torch.zeros(5, 9)).shape
    torch.Size([5, 1, 6, 6])
    """
    below = latents[1:]
    return Layered(
        latents,
        nn.Sequential(nn.Linear(latents[0], width), activation(act)),
        [nn.Linear(width, 2 * d) for d in below],
        [nn.Linear(d, width) for d in below],
        [nn.Sequential(nn.Linear(width, width), activation(act)) for _ in below],
        nn.Sequential(nn.Linear(width, prod(shape)), nn.Tanh(), nn.Unflatten(1, shape)),
    )


def layered_deconv(latents: Sequence[int], size: int, channels: int, ngf: int, leak: float = 0.1) -> Layered:
    """A deconvolutional one, to ``[b, channels, size, size]`` in [-1, 1].

    The stem makes a base×base map of 8·ngf features; each stage doubles the side and halves the features until the side
    is that of the image, and further ones keep it. z_l is read off the features' spatial mean and joins every pixel
    with weights of its own.

    Raises:
        InputError: the size is not 4 to 7 times a power of two, or there are fewer layers than doublings.

    >>> import torch
    >>> layered_deconv([4, 3, 2, 2], 28, 1, 2)(torch.zeros(5, 11)).shape
    torch.Size([5, 1, 28, 28])
    """
    base, doublings = first_size(size)
    if len(latents) - 1 < doublings:
        raise InputError(
            f"images of {size} pixels need {doublings + 1} layers or more (from {base}x{base} up), got {len(latents)}"
        )
    sides = [base * 2 ** min(i, doublings) for i in range(len(latents))]
    widths = [max(ngf * 8 // 2**i, 8) for i in range(len(latents))]
    heads, joins, stages = [], [], []
    for d, (side, next_side), (n_in, n_out) in zip(latents[1:], pairwise(sides), pairwise(widths)):
        heads.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_in, 2 * d)))
        joins.append(nn.Sequential(nn.Linear(d, n_in * side * side), nn.Unflatten(1, (n_in, side, side))))
        up = nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)
        stages.append(
            nn.Sequential(up if next_side > side else nn.Conv2d(n_in, n_out, 3, padding=1), nn.LeakyReLU(leak))
        )
    stem = nn.Sequential(
        nn.Unflatten(1, (latents[0], 1, 1)), nn.ConvTranspose2d(latents[0], widths[0], base), nn.LeakyReLU(leak)
    )
    return Layered(
        latents, stem, heads, joins, stages, nn.Sequential(nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Tanh())
    )
