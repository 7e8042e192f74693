"""The latent-space EBM prior with a feature-map z on SVHN 32×32 (Xu, thesis, 2021): its settings.

The thesis shows reconstructions, samples and curves, and no figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.latent_prior_conv_images import LatentPriorConvImages
from absynth.recipes.latent_prior_svhn import read


@dataclass(frozen=True, kw_only=True)
class LatentPriorConvSVHN(LatentPriorConvImages):
    """Latent-space EBM prior with a 4×4×100 feature-map z on SVHN 32×32."""

    steps: int = 146_400

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
