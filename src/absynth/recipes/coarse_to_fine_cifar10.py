"""Coarse-to-fine expansion on CIFAR-10: 8×8, 16×16, 32×32, with the sampler of Zhao et al. 2021 and their code.

K = 15 steps a stage of x + ∇f + s·ε, s from 0.015 to 0 over all stages. What differs: plain convolutions (theirs are
residual, under spectral norm), one rate for all stages where theirs rises by 5e-4 with each, batches of 64 for 256 to
64. Their figure, FID 16.71, belongs to their network and 1.2 million pictures a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from absynth.data.images import Images
from absynth.recipes.coarse_to_fine_mnist import CoarseToFineMNIST
from absynth.recipes.latent_prior_cifar10 import read


@dataclass(frozen=True, kw_only=True)
class CoarseToFineCIFAR10(CoarseToFineMNIST):
    """Coarse-to-fine expansion on CIFAR-10."""

    size: int = 32
    channels: int = 3
    sizes: ClassVar[tuple[int, ...]] = (8, 16, 32)

    steps: int = 60_000
    checkpoint_every: int = 1000
    width: int = 32
    data_noise: float = 0.02

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
