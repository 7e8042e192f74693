"""Numbers of the teaching methods on MNIST and Fashion-MNIST, alike for all, so that methods can be compared.

Fully connected throughout, as in ``latent_prior_mnist``: generator 16-400-400-784, inference model 784-400-400-32, f
784-200-200-1, on which fifteen steps cost no more than an update of the generator. The chain on x is cold, as in every
published image EBM. ``--ebm_network conv --ebm_width 8`` is a convolutional f at ten times the price.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes import latent_prior_fashion_mnist, latent_prior_mnist
from absynth.recipes._teaching import TeachingImages


@dataclass(frozen=True, kw_only=True)
class TeachingMNIST(TeachingImages):
    """MNIST, small networks."""

    steps: int = 700
    threads: int = 1
    checkpoint_every: int = 350
    limit: int = 20_000
    latent: int = 16
    networks: Literal["conv", "mlp"] = "mlp"
    generator_width: int = 400
    inference_width: int = 400
    ebm_network: Literal["conv", "mlp"] = "mlp"
    ebm_width: int = 200
    chain_steps: int = 15
    step_size: float = math.sqrt(2)
    temperature: float = 5e-5
    ebm_lr: float = 2e-3
    generator_lr: float = 1e-3
    inference_lr: float = 1e-3

    source: Literal["mnist", "fashion_mnist"] = "mnist"
    """Which set of 28×28 pictures."""

    def read(self, split: Literal["train", "test"]) -> Images:
        module = latent_prior_mnist if self.source == "mnist" else latent_prior_fashion_mnist
        return module.read(self.data, split)


@dataclass(frozen=True, kw_only=True)
class TeachingFashionMNIST(TeachingMNIST):
    """Fashion-MNIST, small networks."""

    source: Literal["mnist", "fashion_mnist"] = "fashion_mnist"
