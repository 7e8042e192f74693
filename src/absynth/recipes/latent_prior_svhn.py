"""The latent-space EBM prior on SVHN 32×32 (Pang et al. 2020, section 4.1): its ablations' reference.

Published with it: test MSE .008, FID 29.44 (Table 1), against 43.39 for the fixed Gaussian prior (Table 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from absynth.data import images
from absynth.data.images import Images
from absynth.recipes.latent_prior_images import LatentPriorImages


@dataclass(frozen=True, kw_only=True)
class LatentPriorSVHN(LatentPriorImages):
    """Latent-space EBM prior on SVHN, the paper's networks."""

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)


@lru_cache(maxsize=4)
def read(data: str, split: Literal["train", "test"]) -> Images:
    """The data set, read once a process."""
    return images.svhn(images.find_root(data, "svhn"), split)
