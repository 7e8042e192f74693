"""What recipes of conditional cooperative learning share, whatever the condition is.

Xie et al. 2021 at a scale of seconds. The authors' chains (K = 16, δ = 0.0008, reference of standard deviation 0.016)
are all but noiseless descents whose f has to be enormous; here chains move as the short-run EBM's of
:mod:`absynth.recipes.short_run_images` do, δ²/2 = 1 with noise of 0.01.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, Uniform
from absynth.recipes._teaching import TeachingImages


@dataclass(frozen=True, kw_only=True)
class ConditionalRecipe(TeachingImages):
    """Numbers of a fast initializer and a slow solver, of pictures given a condition."""

    checkpoint_every: int = 500
    teaching: Literal["fast", "full"] = "fast"
    """The initializer's z: the one that a draft was born from, or inferred from the revised draft."""
    data_noise: float = 0.03
    """Standard deviation of noise added to the data, about that of the chains; less is sharper, and less stable."""
    truth: float = 0.0
    """γ, how much of what the initializer learns is the truth itself, by its L1 distance; 0 where a condition has many
    pictures."""
    ebm_lr: float = 3e-4
    generator_lr: float = 3e-4
    decay: float = 0.2
    """Share of the updates, at the end, in which the rates fall to 0."""

    @abstractmethod
    def f(self) -> nn.Module:
        """f(x, c), freshly initialized."""

    @abstractmethod
    def net(self) -> nn.Module:
        """g(z, c), freshly initialized."""

    def algorithm(self) -> ConditionalCooperative:
        # Channels last: convolutions of few channels run half as long on a CPU.
        f = self.f().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return ConditionalCooperative(
            EBM(f, Uniform(*self.shape)),
            GaussianGenerator(self.net(), self.std),
            self.latent_law(),
            sampler=self.sampler(),
            posterior_sampler=self.posterior_sampler() if self.teaching == "full" else None,
            truth=self.truth,
            data_noise=self.data_noise,
        )

    def schedule(self, step: int) -> float:
        return min(1.0, (self.steps - step) / max(self.decay * self.steps, 1.0))
