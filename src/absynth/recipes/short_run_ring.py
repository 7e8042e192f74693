"""A noise-started EBM on the ring of the teaching methods: what they are compared with.

Short runs (``absynth.algorithms.maximum_likelihood``) of the same f, on the same data, from N(0, 2² I) in place of a
generator's drafts. Long chains need no teacher: 30 steps give a density nearly as good as the best taught one in half
the processor time, and what a teacher adds is a generator that drafts in one pass. Five steps from noise leave a wrong
density, five steps from the drafts of dual teaching do not (``reproductions/teaching_ring.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.distributions import StandardNormal
from absynth.recipes._teaching import TeachingRing
from absynth.samplers import FromNoise


@dataclass(frozen=True, kw_only=True)
class ShortRunRing(TeachingRing):
    """Noise-started EBM on eight Gaussians in the plane."""

    start_std: float = 2.0
    """Standard deviation of the noise that chains start from."""

    def algorithm(self) -> MaximumLikelihood:
        start = FromNoise(StandardNormal(2, std=self.start_std))
        return MaximumLikelihood(self.ebm(), start=start, sampler=self.sampler())
