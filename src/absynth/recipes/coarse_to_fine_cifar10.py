"""Coarse-to-fine expansion on CIFAR-10: 8×8, 16×16, 32×32.

The figure of Zhao et al. 2021, FID 16.71, belongs to their network and 1.2 million pictures a stage; what differs is
told in :mod:`absynth.recipes.coarse_to_fine_images`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.coarse_to_fine_images import CoarseToFineImages
from absynth.recipes.latent_prior_cifar10 import read


@dataclass(frozen=True, kw_only=True)
class CoarseToFineCIFAR10(CoarseToFineImages):
    """Coarse-to-fine expansion on CIFAR-10."""

    size: int = 32
    channels: int = 3
    checkpoint_every: int = 1000
    data_noise: float = 0.02

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
