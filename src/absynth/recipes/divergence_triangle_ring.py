"""The divergence triangle on eight Gaussians in the plane (Han et al. 2019).

An adversary's optimizer (β1 = 0) and a wide p(x|z), so that the energy, and not the bound, places the drafts. f
and its adversary never come to rest, so averaged weights are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._divergence_triangle import DivergenceTriangleRecipe
from absynth.recipes._teaching import TeachingRing


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleRing(TeachingRing, DivergenceTriangleRecipe):
    """The divergence triangle on eight Gaussians in the plane."""

    steps: int = 4000
    ema: float = 0.995
    std: float = 1.0
    ebm_lr: float = 1e-3
    beta1: float = 0.0
