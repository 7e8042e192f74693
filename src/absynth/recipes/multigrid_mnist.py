"""Multi-grid learning on MNIST: 1×1, 7×7, 14×14, 28×28, at a size that one CPU core trains in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.latent_prior_mnist import read
from absynth.recipes.multigrid_images import MultiGridImages


@dataclass(frozen=True, kw_only=True)
class MultiGridMNIST(MultiGridImages):
    """Multi-grid learning (Gao et al. 2018) on MNIST, small networks."""

    size: int = 28
    channels: int = 1
    steps: int = 900
    checkpoint_every: int = 100
    width: int = 16

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
