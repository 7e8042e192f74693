"""The divergence triangle on eight Gaussians in the plane (Han et al. 2019).

An adversary's optimizer (β1 = 0) and a wide p(x|z), so that the energy, and not the bound, places the drafts. f
and its adversary never come to rest, so averaged weights are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.divergence_triangle import DivergenceTriangle
from absynth.recipes._teaching import TeachingRing


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleRing(TeachingRing):
    """The divergence triangle on eight Gaussians in the plane."""

    steps: int = 4000
    ema: float = 0.995
    std: float = 1.0
    ebm_lr: float = 1e-3
    beta1: float = 0.0
    energy: float = 1.0
    """Weight of log p(x) of the ebm in the generator's loss."""
    entropy: float = 1.0
    """Weight of −log q(z|g(z)) in the generator's loss, the surrogate of its entropy; 0 leaves it out."""
    sleep: float = 1.0
    """Weight of −log q(z|g(z)) in the inference model's loss."""

    def algorithm(self) -> DivergenceTriangle:
        return DivergenceTriangle(
            self.ebm(), self.generator(), self.inference(), self.latent_law(), sampler=self.sampler(),
            energy=self.energy, entropy=self.entropy, sleep=self.sleep,
        )  # fmt: skip
