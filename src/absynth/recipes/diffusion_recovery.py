"""Diffusion recovery likelihood (Gao, Song, Poole, Wu, Kingma, ICLR 2021, arXiv:2012.08125).

*Images* have the paper's T6 noise schedule, sampler and learning rate: K = 30 steps of b = √2e-4, growing with the
level; Adam at 1e-4 after 1,000 updates of warm-up, averaged weights. What differs: the network is a plain stack of
convolutions (theirs has 8 residual blocks per resolution of 128 to 256 maps, under spectral norm), batches of 64 for
256, no flips.

The preset of MNIST is the authors' form made small, with noise levels for chains that can be continued. Where K steps
end short of a level's law, learning makes F steeper than it should be, so that they end where the data are, and longer
chains go too far. So the levels are many and the noise over the signal grows by the same factor, 1.47, from each to the
next; every step is 0.8 of the narrowest direction's deviation, four times the authors' relative to the level's noise.

*Vectors* have few noise levels, 0.05 to 0.95 in geometric progression, and K = 15 steps of 0.15 of the level's noise;
above 0.2 training diverges. Long-run chains keep their law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.algorithms.noise_levels import StepSchedule
from absynth.distributions import StandardNormal
from absynth.networks.ready import channels_last
from absynth.networks.time_embedding import LevelConv, LevelMLP
from absynth.recipes._fields import DataChain, ImageOptions, TableOptions
from absynth.recipes.bounds import Count, Decay, Natural, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.samplers.noise_levels import ddpm_noise, log_snr_noise, log_spaced_noise

STEP_SIZES: dict[str, StepSchedule] = {"log_spaced": "level", "log_snr": "narrow", "ddpm": "growing"}
"""The step-size schedule of each noise schedule."""

_VECTORS: dict[str, Any] = {
    "steps": 3000, "batch": 200, "ema": 0.995, "noise_schedule": "log_spaced", "levels": 4, "chain_steps": 15,
    "chain_step_size": 0.15, "energy_lr": 1e-3, "warmup": 0,
}  # fmt: skip

PRESETS = {
    "mnist": Preset(
        minutes=6, recorded="multiscale_mnist.FD, diffusion recovery",
        steps=1800, checkpoint_every=100, ema=0.99, noise_schedule="log_snr",
        levels=12, highest=0.96, chain_steps=15, chain_step_size=0.8, energy_width=16, energy_lr=1e-3, warmup=0,
    ),
    "cifar10": Preset(source="Gao et al. 2021, T6", published="FID 9.58", checkpoint_every=1000),
    "ring": Preset(minutes=1.5, recorded="diffusion_recovery_ring", **_VECTORS),
    "breast_cancer": Preset(minutes=0.5, **_VECTORS | {"steps": 1500, "energy_width": 128}),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DiffusionRecoveryRecipe(ImageOptions, TableOptions, DataChain, Recipe):
    """Diffusion recovery likelihood: an energy-based model per noise level (Gao et al. 2021)."""

    kinds = ("image", "toy", "table")

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
    chain_step_size: Positive = 2e-4**0.5
    """Step size b in the schedule's units; with log_spaced, training diverges above about 0.15."""
    warmup: Natural = 1000
    """Updates in which the learning rate rises from 0."""

    def noise(self) -> tuple[float, ...]:
        """s̄_0 … s̄_{T−1}."""
        if self.noise_schedule != "ddpm":
            spaced = log_spaced_noise if self.noise_schedule == "log_spaced" else log_snr_noise
            return spaced(self.lowest, self.highest, self.levels)
        return ddpm_noise(range(1000) if self.levels == 1000 else range(0, 100 * self.levels, 100))

    def algorithm(self) -> DiffusionRecovery:
        net: nn.Module
        if self.examples.kind == "image":
            net = channels_last(LevelConv(*self.shape[:2], self.energy_width, act=self.energy_activation))
        else:
            net = LevelMLP(*self.shape, self.energy_width, act=self.energy_activation)
        return DiffusionRecovery(
            net, StandardNormal(*self.shape), noise=self.noise(), step_schedule=STEP_SIZES[self.noise_schedule],
            sampler=Langevin(self.chain_steps, self.chain_step_size),
        )  # fmt: skip

    def schedule(self, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
