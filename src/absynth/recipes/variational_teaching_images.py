"""Variational MCMC teaching (Xie et al. 2021) on your own pictures.

The chain is that of the short-run recipes (x + ∇f + 0.01·ε), started at drafts and so shorter. The authors' numbers are
those of ``variational_teaching_cifar10``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from absynth.algorithms.variational_teaching import VariationalTeaching
from absynth.recipes._teaching import TeachingImages


@dataclass(frozen=True, kw_only=True)
class VariationalTeachingImages(TeachingImages):
    """Variational MCMC teaching on your own pictures."""

    steps: int = 20_000
    chain_steps: int = 15
    step_size: float = math.sqrt(2)
    temperature: float = 5e-5
    ebm_lr: float = 1e-4
    generator_lr: float = 3e-4
    inference_lr: float = 3e-4

    def algorithm(self) -> VariationalTeaching:
        return VariationalTeaching(
            self.ebm(), self.generator(), self.inference(), self.latent_law(), sampler=self.sampler()
        )
