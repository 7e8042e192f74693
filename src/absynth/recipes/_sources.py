"""What recipes share whose condition is a picture: a photo's labels, the rest of a picture with a hole."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.data.images import Images, Split
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, Uniform
from absynth.networks.conditional import PictureF, PictureGenerator
from absynth.recipes._teaching import TeachingImages


@dataclass(frozen=True, kw_only=True)
class SourceRecipe(TeachingImages):
    """Conditional cooperative learning, picture to picture (Xie et al. 2021)."""

    latent: int = 16
    truth: float = 0.0
    """γ, how much of what the initializer learns is the truth itself, by its L1 distance."""
    chain_steps: int = 15
    step_size: float = math.sqrt(2)
    temperature: float = 5e-5
    data_noise: float = 0.03
    """Standard deviation of noise added to the data, about that of the chains; less is sharper, and less stable."""
    ebm_lr: float = 3e-4
    generator_lr: float = 3e-4
    decay: float = 0.2
    """Share of the updates, at the end, in which the rates fall to 0."""

    @property
    @abstractmethod
    def source_channels(self) -> int:
        """Channels of the condition."""

    @abstractmethod
    def inputs(self, split: Split) -> Images:
        """The pictures that conditions are made of, in the order of :meth:`images`."""

    @abstractmethod
    def source(self, x: Tensor) -> Tensor:
        """The condition that such pictures give, ``[n, channels, s, s] -> [n, m, s, s]``."""

    def f(self) -> nn.Module:
        """f(x, c), freshly initialized."""
        return PictureF(self.source_channels, self.channels, self.size, self.ebm_width, self.ebm_activation)

    def net(self) -> nn.Module:
        """g(z, c), freshly initialized."""
        return PictureGenerator(self.source_channels, self.channels, self.size, self.latent, self.generator_width)

    def algorithm(self) -> ConditionalCooperative:
        return ConditionalCooperative(
            EBM(self.f().to(memory_format=torch.channels_last), Uniform(*self.shape)),  # type: ignore[call-overload]
            GaussianGenerator(self.net(), self.std),
            self.latent_law(),
            sampler=self.sampler(),
            truth=self.truth,
            data_noise=self.data_noise,
        )

    def schedule(self, step: int) -> float:
        return min(1.0, (self.steps - step) / max(self.decay * self.steps, 1.0))

    def conditions(self, n: int) -> Tensor | None:
        held = self.inputs("test")
        return self.source(held.batch(torch.arange(n) % len(held)))
