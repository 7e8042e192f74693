"""Diffusion recovery likelihood (Gao, Song, Poole, Wu, Kingma, ICLR 2021, arXiv:2012.08125).

Diffusion recovery likelihood of images: the T6 noise schedule of Gao et al. 2021, their sampler and learning rates.

K = 30 steps of b = √2e-4, growing with the level; Adam at 1e-4 after 1,000 updates of warm-up, averaged weights. What
differs: the network is a plain stack of convolutions (theirs has 8 residual blocks per resolution of 128 to 256 maps,
under spectral norm), batches of 64 for 256, no flips.

The preset of MNIST is the authors' form made small, with noise levels for chains that can be continued. Where K steps
end short of a level's law, learning makes F steeper than it should be, so that they end where the data are, and longer
chains go too far. So the levels are many and the noise over the signal grows by the same factor, 1.47, from each to the
next; every step is 0.8 of the narrowest direction's deviation, four times the authors' relative to the level's noise.

Diffusion recovery likelihood of vectors: few noise levels, and long-run chains keep their law.

Noise levels 0.05 to 0.95 in geometric progression, K = 15 steps of 0.15 of the level's noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.algorithms.noise_levels import StepSchedule
from absynth.distributions import StandardNormal
from absynth.networks.mlp import Activation
from absynth.networks.ready import channels_last
from absynth.networks.time_embedding import LevelConv, LevelMLP
from absynth.recipes.bounds import Count, Decay, Natural, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.samplers.ladders import ddpm_noise, log_snr_noise, log_spaced_noise

STEP_SIZES: dict[str, StepSchedule] = {"log_spaced": "level", "log_snr": "narrow", "ddpm": "growing"}
"""The step-size schedule of each noise schedule."""

PRESETS = {
    "mnist": Preset(
        minutes=6, recorded="multiscale_mnist", steps=1800, checkpoint_every=100, ema=0.99, noise_schedule="log_snr",
        levels=12, highest=0.96, chain_steps=15, chain_step_size=0.8, energy_width=16, energy_lr=1e-3, warmup=0,
    ),
    "cifar10": Preset(source="Gao et al. 2021, T6", published="FID 9.58", checkpoint_every=1000),
    "ring": Preset(minutes=1.5, recorded="diffusion_recovery_ring"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DiffusionRecoveryImages(Recipe):
    """Diffusion recovery likelihood of images: an EBM per noise level (Gao et al. 2021)."""

    kinds = ("image",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "limit": 64, "energy_width": 4, "chain_steps": 3}

    size: Natural = 0
    """Side of your images in pixels; 0 leaves them as found."""
    channels: Natural = 0
    """1 grey, 3 colour; 0 leaves them as found."""
    batch: Count = 64
    steps: Count = 100_000
    ema: Decay = 0.999
    noise_schedule: Literal["log_spaced", "log_snr", "ddpm"] = "ddpm"
    """Noise levels from ``lowest`` to ``highest``, the noise or the noise over the signal in geometric progression, or
    the paper's T6 out of DDPM's thousand."""
    levels: Count = 6
    """Number of noise levels T; the DDPM schedule takes every hundredth index, and all where this is 1000."""
    lowest: Share = 0.05
    """Standard deviation s̄_0 of the noise in x_0, of a geometric schedule."""
    highest: Share = 0.95
    """Standard deviation s̄_{T−1} of a geometric schedule; near 1."""
    chain_steps: Count = 30
    """Number of Langevin steps per level (K)."""
    chain_step_size: Positive = math.sqrt(2e-4)
    """Step size b in the schedule's units; with log_spaced, training diverges above about 0.15."""
    energy_width: Count = 64
    """Maps of f's first layer."""
    energy_activation: Activation = "silu"
    """Activation of f."""
    energy_lr: Positive = 1e-4
    """Learning rate (Adam)."""
    warmup: Natural = 1000
    """Updates in which the learning rate rises from 0."""

    def noise(self) -> tuple[float, ...]:
        """s̄_0 … s̄_{T−1}."""
        if self.noise_schedule != "ddpm":
            spaced = log_spaced_noise if self.noise_schedule == "log_spaced" else log_snr_noise
            return spaced(self.lowest, self.highest, self.levels)
        return ddpm_noise(range(1000) if self.levels == 1000 else range(0, 100 * self.levels, 100))

    def algorithm(self) -> DiffusionRecovery:
        net = LevelConv(*self.shape[:2], self.energy_width, act=self.energy_activation)
        return DiffusionRecovery(
            channels_last(net),
            StandardNormal(*self.shape),
            noise=self.noise(),
            sampler=Langevin(self.chain_steps, self.chain_step_size),
            step_schedule=STEP_SIZES[self.noise_schedule],
        )

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.energy_lr)}

    def schedule(self, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0


@dataclass(frozen=True, kw_only=True)
class DiffusionRecoveryVectors(Recipe):
    """Diffusion recovery likelihood of vectors (Gao et al. 2021)."""

    kinds = ("toy", "table")
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "energy_width": 8, "chain_steps": 3}

    target: str = ""
    """Column of a table that holds classes; empty: none."""
    steps: Count = 3000
    batch: Count = 200
    ema: Decay = 0.995
    levels: Count = 4
    """Number of noise levels T; 1 is a short run from N(0, I) in the same parametrization."""
    lowest: Share = 0.05
    """Standard deviation s̄_0 of the noise in x_0."""
    highest: Share = 0.95
    """Standard deviation s̄_{T−1} of the noisiest level; near 1."""
    chain_steps: Count = 15
    """Number of Langevin steps per level (K)."""
    chain_step_size: Positive = 0.15
    """Step size b over the level's noise; above 0.2 training diverges."""
    energy_width: Count = 64
    """Hidden units of f."""
    energy_lr: Positive = 1e-3
    """Learning rate (Adam)."""

    def algorithm(self) -> DiffusionRecovery:
        (dim,) = self.shape
        noise = log_spaced_noise(self.lowest, self.highest, self.levels)
        sampler = Langevin(self.chain_steps, self.chain_step_size)
        return DiffusionRecovery(LevelMLP(dim, self.energy_width), StandardNormal(dim), noise=noise, sampler=sampler)

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.energy_lr)}
