"""Diffusion recovery likelihood on MNIST, at a size that one CPU core trains in minutes.

The authors' form made small: K = 15 for 30, width 16 for 128, and no residual blocks. What differs besides is there for
chains that can be continued. Where K steps end short of a level's law, learning makes F steeper than it should be, so
that they end where the data are, and longer chains go too far. So the levels are many and the noise beside the signal
grows by the same factor, 1.47, from each to the next; every step is 0.8 of the narrowest direction's deviation, four
times the authors' beside the level's noise. Levels cost nothing while learning: an update meets one an example.
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
    ladder: Literal["log_spaced", "log_snr", "ddpm"] = "log_snr"
    levels: int = 12
    highest: float = 0.96
    chain_steps: int = 15
    step_size: float = 0.8
    width: int = 16
    lr: float = 1e-3
    warmup: int = 0

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
