"""A plain VAE (Kingma and Welling 2014, arXiv:1312.6114): the baseline of the methods that add an energy."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.vae import VAE
from absynth.recipes._teaching import DIGITS, RING, TABLE, TeachingRecipe
from absynth.recipes.presets import Preset

_DIGITS = DIGITS | {"steps": 4000, "checkpoint_every": 1000}

PRESETS = {
    "wide_ring": Preset(minutes=0.2, **RING | {"std": 0.2}),
    "breast_cancer": Preset(minutes=0.5, **TABLE | {"steps": 2000, "std": 0.5, "data_noise": 0.0}),
    "mnist": Preset(minutes=1, recorded="teaching_mnist.Fréchet of initial samples, VAE", **_DIGITS),
    "fashion_mnist": Preset(minutes=1, recorded="teaching_fashion_mnist.Fréchet of initial samples, VAE", **_DIGITS),
}


@dataclass(frozen=True, kw_only=True)
class VAERecipe(TeachingRecipe):
    """Variational autoencoder with a Gaussian prior (Kingma and Welling 2014)."""

    kinds = ("toy", "image", "table")

    def algorithm(self) -> VAE:
        return VAE(self.generator(), self.inference(), self.latent_law())
