"""A plain VAE (Kingma and Welling 2014) on your own pictures: the teaching methods' baseline."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.vae import VAE
from absynth.recipes._teaching import TeachingImages


@dataclass(frozen=True, kw_only=True)
class VAEImages(TeachingImages):
    """A plain VAE on your own pictures."""

    steps: int = 20_000

    def algorithm(self) -> VAE:
        return VAE(self.generator(), self.inference(), self.latent_law())
