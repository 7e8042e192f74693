"""The latent-space EBM prior on CelebA 64×64 (Pang et al. 2020, section 4.1), 40,000 training pictures.

Published with it: test MSE .013, FID 37.87 (Table 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from absynth.data import images
from absynth.data.images import Images
from absynth.recipes.latent_prior_images import LatentPriorImages


@dataclass(frozen=True, kw_only=True)
class LatentPriorCelebA(LatentPriorImages):
    """Latent-space EBM prior on CelebA 64×64, the paper's networks."""

    limit: int = 40_000
    ngf: int = 128

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)


@lru_cache(maxsize=4)
def read(data: str, split: Literal["train", "test"]) -> Images:
    """The data set, read once a process."""
    return images.celeba(images.find_root(data, "celeba"), split)
