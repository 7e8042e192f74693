"""Numbers that every recipe of the divergence triangle has (Han et al. 2019; ``absynth.algorithms``)."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.divergence_triangle import DivergenceTriangle
from absynth.recipes._teaching import TeachingRecipe


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleRecipe(TeachingRecipe):
    """The divergence triangle; the networks are those of what it is mixed with."""

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
