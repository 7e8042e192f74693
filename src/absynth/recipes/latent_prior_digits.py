"""The latent-space EBM prior on the 8×8 digits that come with scikit-learn: what ``make demo`` trains, no download."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from absynth.data import images
from absynth.data.images import Images
from absynth.recipes.latent_prior_mnist import LatentPriorMNIST


@dataclass(frozen=True, kw_only=True)
class LatentPriorDigits(LatentPriorMNIST):
    """Latent-space EBM prior on scikit-learn's handwritten digits (8×8)."""

    steps: int = 1000
    limit: int = 0
    ngf: int = 200
    std: float = 0.2
    posterior_steps: int = 40
    """K_1; small pictures have flat likelihoods, so 20 steps of this size reconstruct twice as badly as 40."""

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(split)


@lru_cache(maxsize=4)
def read(split: Literal["train", "test"]) -> Images:
    """The digits, read once a process."""
    return images.digits(Path(), split)
