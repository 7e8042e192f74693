"""Filling a hole by cooperative learning, on a user's own pictures: the condition is the picture around the hole.

The hole is the central square of half the side, as large as a pixel of every four. Whatever lies outside it is given,
so the initializer fills the hole alone and the solver's f looks at the filled picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from absynth.data.images import Images, Split
from absynth.data.order import minibatches
from absynth.networks.conditional import HoleF, HoleGenerator
from absynth.recipes._sources import SourceRecipe
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class InpaintingImages(SourceRecipe):
    """Conditional cooperative learning, filling a central hole (Xie et al. 2021), on your own pictures."""

    truth: float = 0.9
    """γ. The authors' code has 0.2, but sums the truth's term over a batch of 50 where the other is a mean: 0.93 here.
    At 0.2 digits were still lost or blurred after six hundred updates."""
    ebm_lr: float = 1e-4

    @property
    def source_channels(self) -> int:
        return self.channels + 1

    def f(self) -> nn.Module:
        return HoleF(super().f())

    def net(self) -> nn.Module:
        return HoleGenerator(super().net())

    def hole(self) -> Tensor:
        """1 in the central half of each side, ``[1, 1, size, size]``."""
        hole, edge = torch.zeros(1, 1, self.size, self.size), self.size // 4
        hole[..., edge : edge + self.size // 2, edge : edge + self.size // 2] = 1
        return hole

    def source(self, x: Tensor) -> Tensor:
        hole = self.hole().expand(len(x), -1, -1, -1)
        return torch.cat([x * (1 - hole), hole], 1)

    def inputs(self, split: Split) -> Images:
        return self.images(split)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        images = self.images("train")
        for index in minibatches(len(images), self.batch, seed=self.seed, start=start):
            x = images.batch(index)
            yield Batch(x, self.source(x))
