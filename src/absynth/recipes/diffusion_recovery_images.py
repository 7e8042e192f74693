"""Diffusion recovery likelihood of a user's own pictures: the T6 ladder of Gao et al. 2021, their sampler and rates.

K = 30 steps of b = √2e-4, growing with the level; Adam at 1e-4 after 1,000 updates of warm-up, averaged weights. What
differs: the network is a plain stack of convolutions (theirs has 8 residual blocks a resolution of 128 to 256 maps,
under spectral norm), batches of 64 for 256, no flips.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.diffusion_recovery import DiffusionRecovery, Pace
from absynth.distributions import StandardNormal
from absynth.networks.mlp import Activation
from absynth.networks.time_embedding import LevelConv
from absynth.recipes._pictures import PictureRecipe
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.samplers.ladders import ddpm_noise, log_snr_noise, log_spaced_noise

PACES: dict[str, Pace] = {"log_spaced": "level", "log_snr": "narrow", "ddpm": "growing"}
"""The unit of the steps on each ladder."""


@dataclass(frozen=True, kw_only=True)
class DiffusionRecoveryImages(PictureRecipe):
    """Diffusion recovery likelihood (Gao et al. 2021) on your own pictures."""

    batch: int = 64

    steps: int = 100_000
    checkpoint_every: int = 500
    ema: float = 0.999
    ladder: Literal["log_spaced", "log_snr", "ddpm"] = "ddpm"
    """Noise of the levels: from ``lowest`` to ``highest`` with the noise, or the noise over the signal, in geometric
    progression, or the paper's T6 out of DDPM's thousand. Steps are in units of the level's noise, of the narrowest
    direction of its conditional law, or grow as the paper's do."""
    levels: int = 6
    """T, of a geometric ladder; the DDPM ladder takes every hundredth index, and all where this is 1000."""
    lowest: float = 0.05
    """s̄_0 of a geometric ladder: standard deviation of the noise in x_0."""
    highest: float = 0.95
    """s̄_{T−1} of a geometric ladder; near 1."""
    chain_steps: int = 30
    """K, Langevin steps a level."""
    step_size: float = math.sqrt(2e-4)
    """b, the step in the ladder's units; with log_spaced, training diverges above about 0.15."""
    width: int = 64
    """Maps of f's first layer."""
    ebm_activation: Activation = "silu"
    """Activation of f."""
    lr: float = 1e-4
    """Adam's rate."""
    warmup: int = 1000
    """Updates in which the rate rises from 0."""

    def noise(self) -> tuple[float, ...]:
        """s̄_0 … s̄_{T−1}."""
        if self.ladder != "ddpm":
            spaced = log_spaced_noise if self.ladder == "log_spaced" else log_snr_noise
            return spaced(self.lowest, self.highest, self.levels)
        return ddpm_noise(range(1000) if self.levels == 1000 else range(0, 100 * self.levels, 100))

    def algorithm(self) -> DiffusionRecovery:
        net = LevelConv(self.channels, self.size, self.width, act=self.ebm_activation)
        # Channels last: convolutions of few channels run half as long on a CPU.
        return DiffusionRecovery(
            net.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            StandardNormal(self.channels, self.size, self.size),
            noise=self.noise(),
            sampler=Langevin(self.chain_steps, self.step_size),
            pace=PACES[self.ladder],
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.lr)}

    def schedule(self, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0

    def tiny(self) -> Recipe:
        return replace(self, steps=4, batch=8, limit=64, width=4, chain_steps=3, log_every=1, checkpoint_every=2)
