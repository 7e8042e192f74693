"""The divergence triangle on eight Gaussians in the plane (Han et al. 2019).

An adversary's optimizer (β1 = 0) and a wide p(x|z), so that the energy, and not the bound, places the drafts. f
and its adversary never come to rest, so averaged weights are kept. The reference is as good as flat, so that f alone is
the log density, as in the paper; the surrogate of entropy has a fifth of the energy's weight (a tenth in the authors'
code): on two pilots f ranked data over noise better so than at 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._divergence_triangle import DivergenceTriangleRecipe
from absynth.recipes._teaching import TeachingRing


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleRing(TeachingRing, DivergenceTriangleRecipe):
    """The divergence triangle on eight Gaussians in the plane."""

    steps: int = 4000
    ema: float = 0.998
    std: float = 1.0
    reference_std: float = 100.0
    entropy: float = 0.2
    ebm_lr: float = 1e-3
    beta1: float = 0.0
