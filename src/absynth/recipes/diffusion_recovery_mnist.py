"""Diffusion recovery likelihood on MNIST, at a size that one CPU core trains in minutes.

The authors' form made small: four levels for six, K = 15 for 30, width 16 for 128, and no residual blocks. The levels'
noise is in geometric progression and every step is 0.14 of its level's noise, the largest ratio of theirs: longer steps
come nearer to a level's law in K of them, and so to chains that can be continued.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.diffusion_recovery_images import DiffusionRecoveryImages
from absynth.recipes.latent_prior_mnist import read


@dataclass(frozen=True, kw_only=True)
class DiffusionRecoveryMNIST(DiffusionRecoveryImages):
    """Diffusion recovery likelihood (Gao et al. 2021) on MNIST, small network."""

    size: int = 28
    channels: int = 1
    steps: int = 1800
    checkpoint_every: int = 100
    ema: float = 0.99
    ladder: Literal["log_spaced", "ddpm"] = "log_spaced"
    levels: int = 4
    chain_steps: int = 15
    step_size: float = 0.14
    width: int = 16
    lr: float = 1e-3
    warmup: int = 0

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
