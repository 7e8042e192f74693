"""Diffusion recovery likelihood on CIFAR-10: the T6 ladder of Gao et al. 2021 with their sampler and rates.

K = 30 steps of b = √2e-4, growing with the level; Adam at 1e-4 after 1,000 updates of warm-up, averaged weights. What
differs: the network is a plain stack of convolutions (theirs has 8 residual blocks a resolution of 128 to 256 maps,
under spectral norm), batches of 64 for 256, no flips. Their figure, FID 9.58, belongs to their network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.diffusion_recovery_mnist import DiffusionRecoveryMNIST
from absynth.recipes.latent_prior_cifar10 import read


@dataclass(frozen=True, kw_only=True)
class DiffusionRecoveryCIFAR10(DiffusionRecoveryMNIST):
    """Diffusion recovery likelihood on CIFAR-10, T6 ladder."""

    size: int = 32
    channels: int = 3

    steps: int = 100_000
    checkpoint_every: int = 1000
    ema: float = 0.999
    ladder: Literal["log_spaced", "ddpm"] = "ddpm"
    levels: int = 6
    chain_steps: int = 30
    step_size: float = math.sqrt(2e-4)
    width: int = 64
    lr: float = 1e-4
    warmup: int = 1000

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
