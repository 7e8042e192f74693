"""Numbers that every recipe of dual-MCMC teaching has (Cui and Han 2023; ``absynth.algorithms.dual_teaching``)."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.dual_teaching import DualTeaching
from absynth.recipes._teaching import TeachingRecipe


@dataclass(frozen=True, kw_only=True)
class DualTeachingRecipe(TeachingRecipe):
    """Dual-MCMC teaching; the networks are those of what it is mixed with."""

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
