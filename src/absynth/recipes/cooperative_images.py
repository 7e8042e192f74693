"""Cooperative networks (Xie et al. 2018; ``absynth.algorithms.cooperative``) on a user's own pictures.

The chain is that of the short-run recipes, started at drafts. The authors' numbers are those of
``cooperative_cifar10``; without their narrow Gaussian reference, their rates and steps mean something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.algorithms.cooperative import Cooperative
from absynth.recipes._teaching import TeachingImages


@dataclass(frozen=True, kw_only=True)
class CooperativeImages(TeachingImages):
    """Cooperative networks on your own pictures."""

    teaching: Literal["fast", "full"] = "fast"
    """Fast: the generator learns x̃ at the z it came from; full: at a z inferred from x̃ by a chain."""
    generator_lr: float = 1e-4

    def algorithm(self) -> Cooperative:
        return Cooperative(
            self.ebm(), self.generator(), self.latent_law(), sampler=self.sampler(),
            posterior_sampler=self.posterior_sampler() if self.teaching == "full" else None,
        )  # fmt: skip
