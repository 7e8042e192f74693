"""A short-run EBM of Fashion-MNIST, with the network and numbers of the MNIST recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.latent_prior_fashion_mnist import read
from absynth.recipes.short_run_mnist import ShortRunMNIST


@dataclass(frozen=True, kw_only=True)
class ShortRunFashionMNIST(ShortRunMNIST):
    """Short-run EBM on Fashion-MNIST, small network."""

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
