"""Variational MCMC teaching on eight Gaussians in the plane (Xie et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.variational_teaching import VariationalTeaching
from absynth.recipes._teaching import TeachingRing


@dataclass(frozen=True, kw_only=True)
class VariationalTeachingRing(TeachingRing):
    """Variational MCMC teaching on eight Gaussians in the plane."""

    steps: int = 2000
    ebm_lr: float = 5e-4

    def algorithm(self) -> VariationalTeaching:
        return VariationalTeaching(
            self.ebm(), self.generator(), self.inference(), self.latent_law(), sampler=self.sampler()
        )
