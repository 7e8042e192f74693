"""Diffusion recovery likelihood on CIFAR-10, by the T6 ladder of Gao et al. 2021 with their sampler and rates.

Their figure, FID 9.58, belongs to their network; what differs is told in
:mod:`absynth.recipes.diffusion_recovery_images`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.diffusion_recovery_images import DiffusionRecoveryImages
from absynth.recipes.latent_prior_cifar10 import read


@dataclass(frozen=True, kw_only=True)
class DiffusionRecoveryCIFAR10(DiffusionRecoveryImages):
    """Diffusion recovery likelihood on CIFAR-10, T6 ladder."""

    size: int = 32
    channels: int = 3
    checkpoint_every: int = 1000

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
