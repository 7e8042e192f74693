"""Filling the middle of digits by cooperative learning, at a size that one CPU core trains in two minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.inpainting_images import InpaintingImages
from absynth.recipes.latent_prior_mnist import read


@dataclass(frozen=True, kw_only=True)
class InpaintingMNIST(InpaintingImages):
    """Conditional cooperative learning of MNIST with the central 14×14 pixels missing, small networks."""

    steps: int = 600
    batch: int = 64
    threads: int = 1
    checkpoint_every: int = 200
    chain_steps: int = 10
    generator_lr: float = 1e-3
    ebm_width: int = 16
    generator_width: int = 16

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
