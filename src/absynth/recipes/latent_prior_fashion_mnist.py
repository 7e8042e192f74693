"""The latent-space EBM prior on Fashion-MNIST, with the networks and numbers of the MNIST recipe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from absynth.data import images
from absynth.data.images import Images
from absynth.recipes.latent_prior_mnist import LatentPriorMNIST


@dataclass(frozen=True, kw_only=True)
class LatentPriorFashionMNIST(LatentPriorMNIST):
    """Latent-space EBM prior on Fashion-MNIST, small networks."""

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)


@lru_cache(maxsize=4)
def read(data: str, split: Literal["train", "test"]) -> Images:
    """Fashion-MNIST, read once a process."""
    return images.fashion_mnist(images.find_root(data, "fashion_mnist"), split)
