"""Coarse-to-fine expansion on MNIST: 7×7, 14×14, 28×28, at a size that one CPU core trains in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.coarse_to_fine_images import CoarseToFineImages
from absynth.recipes.latent_prior_mnist import read


@dataclass(frozen=True, kw_only=True)
class CoarseToFineMNIST(CoarseToFineImages):
    """Coarse-to-fine expansion (Zhao et al. 2021) on MNIST, small networks."""

    size: int = 28
    channels: int = 1
    steps: int = 1500
    checkpoint_every: int = 100
    width: int = 16

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
