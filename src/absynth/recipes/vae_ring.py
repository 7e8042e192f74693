"""A plain VAE on eight Gaussians in the plane: the teaching methods' baseline (``absynth.algorithms.vae``)."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.vae import VAE
from absynth.recipes._teaching import TeachingRing


@dataclass(frozen=True, kw_only=True)
class VAERing(TeachingRing):
    """A plain VAE on eight Gaussians in the plane."""

    std: float = 0.2

    def algorithm(self) -> VAE:
        return VAE(self.generator(), self.inference(), self.latent_law())
