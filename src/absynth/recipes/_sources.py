"""What recipes share whose condition is a picture: a photo's labels, the rest of a picture with a hole."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from absynth.data.images import Images, Split
from absynth.networks.conditional import PictureF, PictureGenerator
from absynth.recipes._conditional import ConditionalRecipe


@dataclass(frozen=True, kw_only=True)
class SourceRecipe(ConditionalRecipe):
    """Conditional cooperative learning, picture to picture (Xie et al. 2021)."""

    latent: int = 16

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
        return PictureF(self.source_channels, self.channels, self.size, self.ebm_width, self.ebm_activation)

    def net(self) -> nn.Module:
        return PictureGenerator(self.source_channels, self.channels, self.size, self.latent, self.generator_width)

    def conditions(self, n: int) -> Tensor | None:
        held = self.inputs("test")
        return self.source(held.batch(torch.arange(n) % len(held)))
