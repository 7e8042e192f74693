"""The latent-space EBM prior with a feature-map z on CelebA 64×64 (Xu, thesis, 2021): its settings.

The thesis shows reconstructions, samples and curves, and no figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.latent_prior_celeba import read
from absynth.recipes.latent_prior_conv_images import LatentPriorConvImages


@dataclass(frozen=True, kw_only=True)
class LatentPriorConvCelebA(LatentPriorConvImages):
    """Latent-space EBM prior with a 4×4×100 feature-map z on CelebA 64×64."""

    steps: int = 80_000
    limit: int = 40_000

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
