"""Unpaired translation of digits to their negatives and back, at a size that one CPU core trains in two minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.cycle_images import CycleImages
from absynth.recipes.latent_prior_mnist import read


@dataclass(frozen=True, kw_only=True)
class CycleMNIST(CycleImages):
    """Cycle-consistent cooperative networks between MNIST and other digits of it in negative."""

    steps: int = 400
    batch: int = 32
    chain_steps: int = 10
    threads: int = 1
    checkpoint_every: int = 100
    ebm_width: int = 16
    translator_width: int = 8

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
