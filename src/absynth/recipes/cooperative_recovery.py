"""Cooperative diffusion recovery (Zhu, Xie, Wu, Gao, ICLR 2024, arXiv:2309.05153): each level's chains start at a
proposal.

Fields and noise schedules are those of diffusion recovery; an initializer proposes, so chains are shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from absynth.algorithms.cooperative_recovery import CooperativeRecovery
from absynth.distributions import StandardNormal
from absynth.networks.denoisers import ConvDenoiser, MLPDenoiser
from absynth.networks.ready import channels_last
from absynth.networks.time_embedding import LevelConv, LevelMLP
from absynth.recipes.bounds import Count, NonNegative, Positive
from absynth.recipes.diffusion_recovery import STEP_SIZES, DiffusionRecoveryRecipe
from absynth.recipes.presets import Preset
from absynth.samplers import Langevin

_VECTORS: dict[str, Any] = {
    "steps": 3000, "batch": 200, "ema": 0.995, "noise_schedule": "log_spaced", "levels": 4, "chain_steps": 5,
    "chain_step_size": 0.15, "energy_lr": 1e-3, "initializer_lr": 1e-3, "initializer_width": 64, "warmup": 0,
}  # fmt: skip

PRESETS = {
    "ring": Preset(minutes=1, threads=1, **_VECTORS | {"proposal_noise": 1.0}),
    "breast_cancer": Preset(minutes=0.5, threads=1, **_VECTORS | {"steps": 1500, "energy_width": 128}),
    "mnist": Preset(
        minutes=5, recorded="cooperative_recovery_mnist.Fréchet distance", steps=1800, checkpoint_every=100, ema=0.99,
        noise_schedule="log_snr", levels=12, highest=0.96,
        chain_steps=5, chain_step_size=0.8, energy_width=16, energy_lr=1e-3, initializer_lr=1e-3, warmup=0,
    ),
    "cifar10": Preset(source="Zhu et al. 2024", published="FID 3.68", chain_steps=15, warmup=10_000, ema=0.9999),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CooperativeRecoveryRecipe(DiffusionRecoveryRecipe):
    """Cooperative diffusion recovery: a learned initializer for each noise level's chains (Zhu et al. 2024)."""

    kinds = ("image", "toy", "table")

    initializer_width: Count = 16
    """Maps of the initializer at full resolution, or hidden units."""
    proposal_noise: NonNegative = 0.5
    """Standard deviation of the noise of proposals, in units of the step size's."""
    initializer_lr: Positive = 1e-5
    """Learning rate of the initializer (Adam)."""

    def algorithm(self) -> CooperativeRecovery:
        net: nn.Module
        initializer: nn.Module
        if self.examples.kind == "image":
            net = channels_last(LevelConv(*self.shape[:2], self.energy_width, act=self.energy_activation))
            initializer = channels_last(ConvDenoiser(*self.shape[:2], self.initializer_width))
        else:
            net = LevelMLP(*self.shape, self.energy_width, act=self.energy_activation)
            initializer = MLPDenoiser(*self.shape, self.initializer_width)
        return CooperativeRecovery(
            net,
            initializer,
            StandardNormal(*self.shape),
            noise=self.noise(),
            step_schedule=STEP_SIZES[self.noise_schedule],
            sampler=Langevin(self.chain_steps, self.chain_step_size),
            proposal_noise=self.proposal_noise,
        )
