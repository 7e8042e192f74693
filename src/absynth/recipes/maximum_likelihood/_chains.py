"""What the recipes of maximum likelihood share: how chains begin, the reference, the algorithm of a network f."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.density import EBM
from absynth.distributions import StandardNormal, Uniform
from absynth.gaussian import Gaussian, Whitened
from absynth.recipes._fields import CHAINS, TemperedChain
from absynth.recipes._reference import fitted
from absynth.recipes.bounds import Count, NonNegative, Share
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromData, FromNoise, Persistent, Start
from absynth.seeding import stream
from absynth.types import Reference, Sampler


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodRecipe(TemperedChain, Recipe):
    """Numbers of an EBM and of the chains that it learns from."""

    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "chains": 32}

    start: Literal["noise", "persistent", "data"] = "noise"
    """Chain initialization: fresh noise (short run), a replay buffer, the data (contrastive divergence)."""
    start_std: NonNegative = 0.0
    """Standard deviation of the noise that chains start from, with --start noise; 0 starts at the reference."""
    chains: Count = 10_000
    """Number of persistent chains in the replay buffer, with --start persistent."""
    restart: Share = 0.05
    """Probability that a persistent chain restarts from noise in an update."""
    reference_std: NonNegative = 0.0
    """Standard deviation of the Gaussian reference; 0: uniform on [−1, 1], of vectors on [−2, 2]."""
    reference: Literal["noise", "gaussian"] = "noise"
    """Reference p_0: noise as --reference-std says, or the Gaussian of the training examples, in whose coordinates the
    chains then run: give --temperature 1 and a step size of about 0.3."""
    sample_rounds: Count = 1
    """Number of times K steps run for a fresh sample; 1 is the short run, persistent models need more."""

    def _of(self, f: nn.Module, bound: float) -> MaximumLikelihood:
        """The algorithm with a network f and a flat reference up to a bound."""
        flat = Uniform(*self.shape, low=-bound, high=bound)
        reference: Reference = StandardNormal(*self.shape, std=self.reference_std) if self.reference_std else flat
        sampler: Sampler = self.sampler()
        if self.reference == "gaussian":
            reference = self._gaussian()
            sampler = Whitened(sampler, reference)
        start: Start = FromData()
        if self.start == "persistent":
            start = Persistent(self.chains, reference, self.restart, rng=stream(self.seed, 0, 0, CHAINS))
        elif self.start == "noise":
            start = FromNoise(StandardNormal(*self.shape, std=self.start_std) if self.start_std else reference)
        return self._learning()(
            EBM(f, reference), start=start, sampler=sampler, data_noise=self.data_noise,
            sample_rounds=self.sample_rounds,
        )  # fmt: skip

    def _gaussian(self) -> Gaussian:
        """The Gaussian of the training examples."""
        return fitted(self.examples, self.data_noise)

    def _learning(self) -> Callable[..., MaximumLikelihood]:
        return MaximumLikelihood
