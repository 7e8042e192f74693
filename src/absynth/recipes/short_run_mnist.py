"""A short-run EBM of MNIST, at a size that one CPU core trains in five minutes.

The recipe of Nijkamp et al. 2019 made small: K = 30 for 100, 1,200 updates for 100,000, width 32 for 64 behind a first
convolution that halves the side, with the rate and the data noise raised to what stays stable there. On a CPU the
strided stem is what matters: at width 32 an update costs less than half of one at width 16 and the full side.
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

    steps: int = 1200
    checkpoint_every: int = 100
    width: int = 32
    stem: Literal[1, 2] = 2
    chain_steps: int = 30
    data_noise: float = 0.05
    lr: float = 5e-4
    decay: float = 0.5

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
