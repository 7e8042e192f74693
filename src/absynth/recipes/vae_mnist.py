"""A plain VAE on MNIST, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingMNIST
from absynth.recipes.vae_images import VAEImages


@dataclass(frozen=True, kw_only=True)
class VAEMNIST(TeachingMNIST, VAEImages):
    """A plain VAE on MNIST, small networks."""

    steps: int = 4000
    checkpoint_every: int = 1000
