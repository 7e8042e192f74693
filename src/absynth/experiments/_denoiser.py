"""A rival of energy-based models of images: a diffusion model, that is, a denoiser with its sampler.

Karras, Aittala, Aila, Laine, "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022,
arXiv:2206.00364, equation numbers as there. With s the standard deviation of the data:

    D(x; σ) = c_skip x + c_out F(c_in x, ln σ / 4)                                                  (7)
    c_skip = s² / (σ² + s²),  c_out = σ s / √(σ² + s²),  c_in = 1 / √(σ² + s²)                      (table 1)
    loss = E_{ln σ ~ N(m, 1.2²)} E |D(x + σ ε; σ) − x|² / c_out²                                 (8)

F is a small U-Net, and m = −1.2 there. Samples follow the probability-flow equation dx/dσ = (x − D(x; σ)) / σ by Heun's
method (algorithm 1) along σ_i = (80^(1/7) + i/(N − 1) (0.002^(1/7) − 80^(1/7)))^7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from absynth.algorithms import Algorithm
from absynth.networks.ready import channels_last
from absynth.recipes._fields import ImageOptions
from absynth.recipes.bounds import Count, Positive
from absynth.recipes.recipe import Recipe
from absynth.seeding import noise_like
from absynth.types import Batch, Rng

LOWEST, HIGHEST, CURVE = 0.002, 80.0, 7.0
"""Smallest and largest σ of a sample, and the exponent between them."""
STD = 1.2
"""Standard deviation of ln σ in training."""


class Block(nn.Module):
    """Two 3×3 convolutions on top of their input; level and label enter as a bias of every map between them."""

    def __init__(self, maps_in: int, maps: int, embedding: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, maps_in)
        self.first = nn.Conv2d(maps_in, maps, 3, padding=1)
        self.bias = nn.Linear(embedding, maps)
        self.second = nn.Conv2d(maps, maps, 3, padding=1)
        self.skip = nn.Identity() if maps_in == maps else nn.Conv2d(maps_in, maps, 1)
        nn.init.zeros_(self.second.weight)  # a block begins as its skip

    def forward(self, x: Float[Tensor, "b i h w"], level: Float[Tensor, "b e"]) -> Float[Tensor, "b o h w"]:
        h = self.first(F.silu(self.norm(x))) + self.bias(level)[:, :, None, None]
        return self.skip(x) + self.second(F.silu(h))


class Attention(nn.Module):
    """Self-attention of one head over all places of a map, on top of its input."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, maps)
        self.enter, self.leave = nn.Conv2d(maps, 3 * maps, 1), nn.Conv2d(maps, maps, 1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Float[Tensor, "b m h w"]) -> Float[Tensor, "b m h w"]:
        query, key, value = self.enter(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, 2)
        found = F.scaled_dot_product_attention(query, key, value)
        return x + self.leave(found.transpose(1, 2).reshape(x.shape))


class UNet(nn.Module):
    """``(x [b, c, s, s], ln σ / 4 [b], label [b] or None) -> [b, c, s, s]``.

    The first layer makes maps of half the side, since layers at full size are most of the cost of a small U-Net on a
    CPU.

    Args:
        channels: Channels of the image.
        classes: Number of labels; 0 without labels.
        width: Maps at half the side; twice as many at a quarter of it.
        embedding: Width of the embedding of level and label.
    """

    frequencies: Tensor

    def __init__(self, channels: int, classes: int, width: int, embedding: int = 64) -> None:
        super().__init__()
        # From a sixteenth of a turn over the range of ln σ to several turns: neighbouring levels look alike.
        self.register_buffer("frequencies", torch.logspace(-1, 4, embedding // 2, base=2.0), persistent=False)
        self.level = nn.Linear(embedding, embedding)
        self.label = nn.Embedding(classes, embedding) if classes else None
        self.enter = nn.Conv2d(channels, width, 4, stride=2, padding=1)
        self.down = Block(width, width, embedding)
        self.halve = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.middle = nn.ModuleList(Block(2 * width, 2 * width, embedding) for _ in range(2))
        self.attention = Attention(2 * width)
        self.widen = nn.Conv2d(2 * width, width, 3, padding=1)
        self.up = Block(2 * width, width, embedding)
        self.leave = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1)
        nn.init.zeros_(self.leave.weight)

    def forward(
        self, x: Float[Tensor, "b c s s"], level: Float[Tensor, "b"], label: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b c s s"]:
        angles = level[:, None] * self.frequencies
        e = self.level(torch.cat([angles.sin(), angles.cos()], 1))
        if self.label is not None:
            assert label is not None
            e = e + self.label(label)
        e = F.silu(e)
        before = self.down(self.enter(x), e)
        first, second = self.middle
        h = second(self.attention(first(self.halve(before), e)), e)
        h = self.widen(F.interpolate(h, scale_factor=2.0))
        return self.leave(F.silu(self.up(torch.cat([h, before], 1), e)))


class Denoiser(Algorithm):
    """Player: ``denoiser``.

    Args:
        net: F.
        shape: Shape of one example.
        spread: s, standard deviation of the data.
        steps: Number of steps of a sample (N); it takes 2N − 1 evaluations of F.
        mean: Mean of ln σ in training.
    """

    def __init__(self, net: nn.Module, shape: tuple[int, ...], spread: float, steps: int, mean: float = -1.2) -> None:
        super().__init__()
        self.denoiser = net
        self.shape, self.spread, self.steps, self.mean = shape, spread, steps, mean

    def denoise(
        self, x: Float[Tensor, "b *event"], sigma: Float[Tensor, "b"], c: Tensor | None = None
    ) -> Float[Tensor, "b *event"]:
        """D(x; σ): the mean of the data given x = data + σ ε."""
        s, total = sigma.view(-1, *[1] * (x.ndim - 1)), (sigma.square() + self.spread**2).sqrt()
        root = total.view_as(s)
        correction = self.denoiser(x / root, sigma.log() / 4, c)
        return (self.spread / root) ** 2 * x + s * self.spread / root * correction  # (7)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        sigma = (self.mean + STD * noise_like(batch.x[:, 0, 0, 0], rng)).exp()
        noisy = batch.x + sigma.view(-1, *[1] * (batch.x.ndim - 1)) * noise_like(batch.x, rng)
        errors = (self.denoise(noisy, sigma, batch.c) - batch.x).square().flatten(1).mean(1)
        weight = (sigma.square() + self.spread**2) / (sigma * self.spread) ** 2
        return {"denoiser": (weight * errors).mean()}  # (8)

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n samples by Heun's method."""
        like = next(self.parameters())
        ends = torch.tensor([HIGHEST, LOWEST], dtype=like.dtype, device=like.device) ** (1 / CURVE)
        sigmas = [*(ends[0] + torch.linspace(0, 1, self.steps).to(like) * (ends[1] - ends[0])) ** CURVE, ends[0] * 0]
        x = sigmas[0] * noise_like(like.new_empty(n, *self.shape), rng)
        for now, after in pairwise(sigmas):
            slope = (x - self.denoise(x, now.expand(n), c)) / now
            ahead = x + (after - now) * slope
            if after > 0:
                second = (ahead - self.denoise(ahead, after.expand(n), c)) / after
                ahead = x + (after - now) * (slope + second) / 2
            x = ahead
        return x


@dataclass(frozen=True, kw_only=True)
class RivalRecipe(ImageOptions, Recipe):
    """A rival's networks, of images with or without labels."""

    kinds = ("image",)
    fused = True

    labelled: bool = False
    """Whether the networks take the label."""

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start)
        return (batch._replace(c=batch.y) for batch in found) if self.labelled else found

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes if self.labelled else None


@dataclass(frozen=True, kw_only=True)
class DenoiserRecipe(RivalRecipe):
    """A denoiser of images with or without labels, and Heun's sampler."""

    unet_width: Count = 32
    """Maps at half the side."""
    spread: Positive = 0.6
    """Standard deviation of the data."""
    level_mean: float = -0.4
    """Mean of ln σ in training: digits take their form at larger σ than photographs."""
    chain_steps: Count = 18
    """Number of steps of a sample."""
    denoiser_lr: Positive = 1e-3
    """Learning rate of the network (Adam)."""

    def algorithm(self) -> Denoiser:
        net = UNet(self.shape[0], self.classes if self.labelled else 0, self.unet_width)
        return Denoiser(channels_last(net), self.shape, self.spread, self.chain_steps, self.level_mean)
