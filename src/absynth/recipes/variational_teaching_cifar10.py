"""Variational MCMC teaching on CIFAR-10, at the authors' settings (Xie, Zheng, Li, AAAI 2021, and their code).

A Gaussian reference of .016 and δ = .002 shrink x by .8 % a step, so f is steep; no noise (temperature 0); rates of
9e-3 and 2e-4, times .98 every 20 epochs; σ = 1 is their Σ(x − g)² + 2·KL. They run 900 chains beside batches of 250
pictures, and their networks normalize over the batch in the VAE; here there is one chain a picture and no
normalization. They sample by 30 steps: ``absynth sample --steps 30``. Published: IS 6.65.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.latent_prior_cifar10 import read
from absynth.recipes.variational_teaching_images import VariationalTeachingImages


@dataclass(frozen=True, kw_only=True)
class VariationalTeachingCIFAR10(VariationalTeachingImages):
    """Variational MCMC teaching on CIFAR-10, the authors' settings."""

    steps: int = 1_000_000
    batch: int = 250
    checkpoint_every: int = 1000
    std: float = 1.0
    chain_steps: int = 15
    step_size: float = 0.002
    temperature: float = 0.0
    reference_std: float = 0.016
    ebm_lr: float = 9e-3
    generator_lr: float = 2e-4
    inference_lr: float = 2e-4

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)

    def schedule(self, step: int) -> float:
        return 0.98 ** (step * self.batch // 50_000 // 20)
