"""Dual-MCMC teaching (Cui and Han 2023; ``absynth.algorithms.dual_teaching``) on a user's own pictures.

The chain on x is that of the short-run recipes, started at drafts. The authors' numbers are those of
``dual_teaching_cifar10``.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.dual_teaching import DualTeaching
from absynth.recipes._teaching import TeachingImages


@dataclass(frozen=True, kw_only=True)
class DualTeachingImages(TeachingImages):
    """Dual-MCMC teaching on your own pictures."""

    generator_teaching: float = 1.0
    """S, weight of the revised drafts beside the data in the generator's loss."""
    inference_teaching: float = 0.1
    """w, weight of the drafts' known z beside the data's revised one in the inference model's loss."""

    def algorithm(self) -> DualTeaching:
        return DualTeaching(
            self.ebm(), self.generator(), self.inference(), self.latent_law(),
            sampler=self.sampler(), posterior_sampler=self.posterior_sampler(),
            generator_teaching=self.generator_teaching, inference_teaching=self.inference_teaching,
        )  # fmt: skip
