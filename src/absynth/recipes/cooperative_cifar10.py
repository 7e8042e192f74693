"""Cooperative networks on CIFAR-10, at the authors' settings (Xie et al. 2018, and their code).

A Gaussian reference of .016 and δ = .002 shrink x by .8 % a step, so f is steep and the chain, with its noise, climbs
rather than samples; rates of 3e-3 and 1e-4. They run more chains than there are pictures in a batch, and their
generator normalizes over the batch; here there is one chain a picture and no normalization. Published: IS 6.55, FID
33.61.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.cooperative_images import CooperativeImages
from absynth.recipes.latent_prior_cifar10 import read


@dataclass(frozen=True, kw_only=True)
class CooperativeCIFAR10(CooperativeImages):
    """Cooperative networks on CIFAR-10, the authors' settings."""

    steps: int = 500_000
    checkpoint_every: int = 1000
    step_size: float = 0.002
    temperature: float = 1.0
    reference_std: float = 0.016
    ebm_lr: float = 3e-3
    generator_lr: float = 1e-4

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
