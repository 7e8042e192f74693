"""Fields that several recipes have, under one name and with one meaning, and what follows from them.

A recipe inherits the groups it needs, before :class:`absynth.recipes.recipe.Recipe`, and states other defaults again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from absynth.networks.mlp import Activation
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive, Share
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch

BLUR = int.from_bytes(b"blur", "big")
"""Separates the noise on the data from all other noise."""
CHAINS = int.from_bytes(b"bank", "big")
"""Separates the noise of the first stored chains from a step's own."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Options of the reader of images."""

    size: Natural = 0
    """Side that the central square of each image is resized to, in pixels. 0 leaves squares of one size as they are;
    others take the size of the preset."""
    channels: Natural = 0
    """1 grey, 3 colour; 0 leaves them as found."""
    anomaly: int = -1
    """Label to hold out for anomaly detection: trains on 80 % of all other images. -1 trains on the training split."""


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """Options of the reader of video."""

    size: Natural = 0
    """Side of the frames in pixels; 0 leaves small ones as found and resizes large ones to 32."""
    channels: Natural = 0
    """1 grey, 3 colour; 0 leaves them as found."""
    frames: Natural = 0
    """Frames of a window, the example that the model learns; 0 is 16, or 8 for short clips."""


@dataclass(frozen=True, kw_only=True)
class VoxelOptions:
    """Options of the reader of voxels."""

    size: Natural = 0
    """Side in voxels, at which a voxel is occupied where any of its block is; 0 leaves them as found, meshes at 32."""


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Options of the reader of tables."""

    target: str = ""
    """Column of a table that holds classes. Defaults to none."""


@dataclass(frozen=True, kw_only=True)
class ColdChains:
    """The guard of short chains at a temperature near 0, as published EBMs of images have."""

    guard_step_size: Positive = 1.0
    """Left at 1: K shorter steps do not reach as far, and a chain that cannot follow f diverges sooner."""
    guard_difference: Positive = 20.0
    """An energy difference f(pos) − f(neg) below this never counts as divergence: f grows before chains follow."""
    guard_stability: Positive = 100.0
    """Largest δ²λ of the chain; a cold short chain never reaches the equilibrium that it speaks of."""


@dataclass(frozen=True, kw_only=True)
class DataChain:
    """An energy of the data and the chain on it."""

    energy_width: Count = 64
    """Maps of the energy network's first convolution, or hidden units."""
    energy_activation: Activation = "silu"
    """Activation of the energy network; smooth ones are steadier."""
    chain_steps: Count = 15
    """Number of Langevin steps in an update and in a sample (K)."""
    chain_step_size: Positive = 2**0.5
    """Step size δ of x + (δ²/2)·score + δ√T·noise; for x + η∇f + s·noise it is √(2η)."""
    energy_lr: Positive = 1e-4
    """Learning rate of the energy network (Adam)."""


@dataclass(frozen=True, kw_only=True)
class TemperedChain(DataChain):
    """A chain at a temperature, and noise on the data that matches it."""

    temperature: NonNegative = 5e-5
    """Temperature T that is sampled; 1 is unadjusted Langevin."""
    data_noise: NonNegative = 0.0
    """Standard deviation of noise added to the data; less is sharper, and less stable."""
    beta1: Decay = 0.5
    """Adam's β1, for every player; less damps the oscillation between learning and synthesis."""

    def sampler(self) -> Langevin:
        """The chain on x."""
        noise = None if self.temperature == 1 else self.chain_step_size * self.temperature**0.5
        return Langevin(self.chain_steps, self.chain_step_size, noise)


@dataclass(frozen=True, kw_only=True)
class GaussianOutput:
    """A generator whose output has Gaussian noise."""

    std: Positive = 0.3
    """Standard deviation σ of p(x|z)."""


@dataclass(frozen=True, kw_only=True)
class PosteriorChain:
    """A latent variable, its generator, and the chain that infers it."""

    latent: Count = 100
    """Dimension of z."""
    generator_width: Count = 64
    """Feature factor of the generator's transposed convolutions, or hidden units."""
    posterior_steps: Natural = 20
    """Number of Langevin steps on the posterior (K_1)."""
    posterior_step_size: Positive = 0.1
    """Step size δ of the posterior chain."""
    generator_lr: Positive = 1e-4
    """Learning rate of the generator (Adam)."""

    def posterior_sampler(self) -> Langevin:
        """The chain on z given x."""
        return Langevin(self.posterior_steps, self.posterior_step_size)


@dataclass(frozen=True, kw_only=True)
class PriorChain(PosteriorChain):
    """A latent variable with an energy-based prior."""

    energy_width: Count = 200
    """Hidden units of the energy network."""
    energy_activation: Activation = "silu"
    """Activation of the energy network; smooth ones (silu, gelu) are steadier."""
    prior_steps: Natural = 60
    """Number of Langevin steps on the prior (K_0)."""
    prior_step_size: Positive = 0.4
    """Step size δ of the prior chain, in z + (δ²/2)·score + δ·noise."""
    energy_lr: Positive = 1e-4
    """Learning rate of the energy network (Adam)."""

    def prior_sampler(self) -> Langevin:
        """The chain on z."""
        return Langevin(self.prior_steps, self.prior_step_size)


@dataclass(frozen=True, kw_only=True)
class PriorChoice(PriorChain):
    """The same with the ablation of a fixed prior."""

    prior: Literal["ebm", "gaussian"] = "ebm"
    """Learned prior, or the fixed N(0, I)."""
    beta1: Decay = 0.5
    """Adam's β1, for every player."""


@dataclass(frozen=True, kw_only=True)
class FinalShare:
    """Learning rates that fall to 0 at the end."""

    final_share: Share = 0.2
    """Share of the updates, at the end, in which the learning rates fall to 0."""

    def schedule(self, step: int) -> float:
        """Factor on every learning rate at a step."""
        return linear_end(step, self.steps, self.final_share)  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class FinalRate:
    """Learning rates that change linearly to a share of themselves."""

    final_lr: Share = 1.0
    """Factor on the learning rates at the last update, reached linearly; small networks in few updates gain by 0."""

    def schedule(self, step: int) -> float:
        """Factor on every learning rate at a step."""
        return 1 - (1 - self.final_lr) * min(step / self.steps, 1)  # type: ignore[attr-defined]


def linear_end(step: int, steps: int, share: float) -> float:
    """1, then linearly to 0 over the last ``share`` of the updates."""
    return min(1.0, (steps - step) / max(share * steps, 1.0))


def half_cosine(step: int, steps: int) -> float:
    """From 1 to 0 by a half cosine over all updates."""
    return 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))


def restarted(step: int, stages: Sequence[int]) -> float:
    """In each stage of so many updates: 1, then linearly to 0 over its second half."""
    for n in stages:
        if step < n:
            return min(1.0, 2 * (1 - step / n))
        step -= n
    return 0.0


def noisy(batches: Iterator[Batch], std: float, *, seed: int, start: int, key: int = BLUR) -> Iterator[Batch]:
    """Batches with noise on the data, which depends on the seed and the step alone.

    Args:
        batches: Batches from update ``start`` on.
        std: Standard deviation of the noise; 0 leaves the batches as they are.
        seed: The recipe's.
        start: First update.
        key: What separates this noise from other noise of the same step.
    """
    if not std:
        yield from batches
    for step, batch in enumerate(batches, start):
        yield batch._replace(x=batch.x + std * noise_like(batch.x, stream(seed, 0, step, key)))
