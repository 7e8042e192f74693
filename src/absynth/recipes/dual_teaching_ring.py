"""Dual-MCMC teaching on eight Gaussians in the plane (Cui and Han 2023; ``absynth.algorithms.dual_teaching``)."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._dual_teaching import DualTeachingRecipe
from absynth.recipes._teaching import TeachingRing


@dataclass(frozen=True, kw_only=True)
class DualTeachingRing(TeachingRing, DualTeachingRecipe):
    """Dual-MCMC teaching on eight Gaussians in the plane."""

    inference_teaching: float = 1.0
