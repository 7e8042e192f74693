"""Dual-MCMC teaching (Cui and Han, NeurIPS 2023, arXiv:2312.02469).

Chains on x start at the generator, chains on z at the inference model, and both teach both. ``cifar10/paper`` are the
authors' settings: K = 30 steps of δ = 0.5 with noise of 0.001 on x (temperature 4e-6: the step descends), no reference,
S = 50, w = 0.1. Their networks are residual, with spectral normalization in f; these are plain convolutions. They
sample by 70 steps of δ = 0.4.

On MNIST w = 1: of pilots of half a minute (seed 9, on training images that were left out) w = 0.1 made worse initial
samples, and S = 10 better ones at half the fidelity.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.dual_teaching import DualTeaching
from absynth.recipes._teaching import DIGITS, RING, TABLE, TeachingRecipe
from absynth.recipes.bounds import NonNegative
from absynth.recipes.presets import Preset

PRESETS = {
    "wide_ring": Preset(
        minutes=1, recorded="teaching_ring.K5, dual: MMD of refined samples", **RING | {"inference_teaching": 1.0}
    ),
    "breast_cancer": Preset(minutes=1, **TABLE | {"inference_teaching": 1.0}),
    "mnist": Preset(
        minutes=1, recorded="teaching_mnist.Fréchet of refined samples, dual", **DIGITS | {"inference_teaching": 1.0}
    ),
    "fashion_mnist": Preset(
        minutes=1, recorded="teaching_fashion_mnist.Fréchet of refined samples, dual",
        **DIGITS | {"inference_teaching": 1.0},
    ),
    "mnist/paper": Preset(
        source="the authors' S and w on the small networks", **DIGITS | {"generator_teaching": 50.0}
    ),
    "cifar10/paper": Preset(
        source="Cui and Han 2023 and their code", published="IS 8.55, FID 9.26, test MSE .0072", steps=150_000,
        checkpoint_every=1000, latent=128, generator_width=128, inference_width=128, energy_width=128, chain_steps=30,
        chain_step_size=0.5, temperature=4e-6, inference_lr=1e-4, beta1=0.0, beta2=0.9, generator_weight_decay=5e-4,
        inference_weight_decay=5e-4,
        generator_teaching=50.0, decay_rate=0.998,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DualTeachingRecipe(TeachingRecipe):
    """Dual-MCMC teaching of an EBM, a generator and an inference model (Cui and Han 2023)."""

    kinds = ("toy", "image", "table")

    generator_teaching: NonNegative = 1.0
    """Weight S of refined samples against the data in the generator's loss."""
    inference_teaching: NonNegative = 0.1
    """Weight w of initial samples with their known z against the data's inferred z in the inference model's loss."""

    def algorithm(self) -> DualTeaching:
        return DualTeaching(
            self.ebm(), self.generator(), self.inference(), self.latent_law(), sampler=self.sampler(),
            posterior_sampler=self.posterior_sampler(), generator_teaching=self.generator_teaching,
            inference_teaching=self.inference_teaching,
        )  # fmt: skip
