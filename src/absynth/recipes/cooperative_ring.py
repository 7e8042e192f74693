"""Cooperative networks on eight Gaussians in the plane (Xie et al. 2018; ``absynth.algorithms.cooperative``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.algorithms.cooperative import Cooperative
from absynth.recipes._teaching import TeachingRing


@dataclass(frozen=True, kw_only=True)
class CooperativeRing(TeachingRing):
    """Cooperative networks on eight Gaussians in the plane."""

    teaching: Literal["fast", "full"] = "fast"
    """Fast: the generator learns x̃ at the z it came from; full: at a z inferred from x̃ by a chain."""
    generator_lr: float = 5e-4

    def algorithm(self) -> Cooperative:
        return Cooperative(
            self.ebm(), self.generator(), self.latent_law(), sampler=self.sampler(),
            posterior_sampler=self.posterior_sampler() if self.teaching == "full" else None,
        )  # fmt: skip
