"""What the recipes of conditional cooperative learning share, whatever the condition is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.density import EBM
from absynth.distributions import GaussianGenerator
from absynth.networks.ready import channels_last
from absynth.recipes._fields import FinalShare
from absynth.recipes._teaching import TeachingRecipe
from absynth.recipes.bounds import NonNegative, Positive, Share
from absynth.recipes.recipe import Recipe
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class ConditionalRecipe(FinalShare, TeachingRecipe):
    """Numbers of a fast initializer and a slow solver of images given a condition.

    The authors' chains (K = 16, δ = 0.0008, reference of standard deviation 0.016) are nearly noiseless descents whose
    f has to be enormous; here chains move as those of short-run EBMs do, δ²/2 = 1 with noise of 0.01.
    """

    full_teaching: bool = False
    """Whether the initializer learns at a z inferred from the refined sample; else at the z it was generated from."""
    data_noise: NonNegative = 0.03
    """Standard deviation of noise added to the data, about that of the chains; less is sharper and less stable."""
    truth_weight: Share = 0.0
    """Weight γ of the L1 distance to the truth in the initializer's loss; 0 where a condition has many images."""
    energy_lr: Positive = 3e-4
    generator_lr: Positive = 3e-4

    @abstractmethod
    def f(self) -> nn.Module:
        """f(x, c), freshly initialized."""

    @abstractmethod
    def net(self) -> nn.Module:
        """g(z, c), freshly initialized."""

    def algorithm(self) -> ConditionalCooperative:
        return ConditionalCooperative(
            EBM(channels_last(self.f()), self.reference()),
            GaussianGenerator(self.net(), self.std),
            self.latent_law(),
            sampler=self.sampler(),
            posterior_sampler=self.posterior_sampler() if self.full_teaching else None,
            truth=self.truth_weight,
            data_noise=self.data_noise,
        )

    def batches(self, start: int = 0) -> Iterator[Batch]:
        return Recipe.batches(self, start)  # the algorithm adds the noise to the data
