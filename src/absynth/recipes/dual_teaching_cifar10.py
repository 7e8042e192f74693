"""Dual-MCMC teaching on CIFAR-10, at the authors' settings (Cui and Han, NeurIPS 2023, and their code).

K = 30 steps of δ = 0.5 with noise of 0.001 on x (temperature 4e-6: their step descends), 10 steps of δ = 0.1 on z, no
reference on x; S = 50, w = 0.1; Adam with β of 0 and 0.9, rates of 1e-4 (3e-4 for the generator), times .998 an epoch,
weight decay of 5e-4 on generator and inference model. Their networks are residual, with spectral normalization in f;
these are plain convolutions. They sample by 70 steps of δ = 0.4. Published: IS 8.55, FID 9.26, test MSE .0072.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.dual_teaching_images import DualTeachingImages
from absynth.recipes.latent_prior_cifar10 import read


@dataclass(frozen=True, kw_only=True)
class DualTeachingCIFAR10(DualTeachingImages):
    """Dual-MCMC teaching on CIFAR-10, the authors' settings."""

    steps: int = 150_000
    checkpoint_every: int = 1000
    latent: int = 128
    generator_width: int = 128
    inference_width: int = 128
    ebm_width: int = 128
    chain_steps: int = 30
    step_size: float = 0.5
    temperature: float = 4e-6
    ebm_lr: float = 1e-4
    generator_lr: float = 3e-4
    inference_lr: float = 1e-4
    beta1: float = 0.0
    beta2: float = 0.9
    weight_decay: float = 5e-4
    generator_teaching: float = 50.0
    inference_teaching: float = 0.1

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)

    def schedule(self, step: int) -> float:
        return 0.998 ** (step * self.batch // 50_000)
