"""A short-run EBM of MNIST, at a size that one CPU core trains in six minutes.

The recipe of Nijkamp et al. 2019 made small: width 16 for 64, K = 30 for 100, 800 updates for 100,000, with the rate
and the data noise raised to what stays stable there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.latent_prior_mnist import read
from absynth.recipes.short_run_images import ShortRunImages


@dataclass(frozen=True, kw_only=True)
class ShortRunMNIST(ShortRunImages):
    """Short-run EBM on MNIST, small network."""

    steps: int = 800
    checkpoint_every: int = 100
    width: int = 16
    chain_steps: int = 30
    data_noise: float = 0.05
    lr: float = 3e-4
    decay: float = 0.5

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
