"""Filling a hole by conditional cooperative learning (Xie et al. 2021): the condition is the image around the hole.

The hole is the central square of half the side. Whatever lies outside is given, so the initializer fills the hole alone
and the solver's f sees the filled image. γ is .9: the authors' code has 0.2, but sums the truth's term over a batch of
50 where the other is a mean, which is 0.93 here; at 0.2 digits were lost or blurred after six hundred updates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from absynth.networks.conditional import HoleF, HoleGenerator, PictureF, PictureGenerator
from absynth.recipes._conditional import ConditionalRecipe
from absynth.recipes.bounds import Count, Positive, Share
from absynth.recipes.presets import Preset
from absynth.types import Batch

PRESETS = {
    "mnist": Preset(
        minutes=2, recorded="conditional_inpainting", steps=600, batch=64, threads=1, checkpoint_every=200,
        chain_steps=10, generator_lr=1e-3, energy_width=16, generator_width=16,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class InpaintingRecipe(ConditionalRecipe):
    """Conditional cooperative learning, filling a central hole (Xie et al. 2021)."""

    kinds = ("image",)

    latent: Count = 16
    truth_weight: Share = 0.9
    energy_lr: Positive = 1e-4

    def f(self) -> nn.Module:
        channels, size, _ = self.shape
        return HoleF(PictureF(channels + 1, channels, size, self.energy_width, self.energy_activation))

    def net(self) -> nn.Module:
        channels, size, _ = self.shape
        return HoleGenerator(PictureGenerator(channels + 1, channels, size, self.latent, self.generator_width))

    def hole(self) -> Tensor:
        """1 in the central half of each side, ``[1, 1, size, size]``."""
        size = self.shape[1]
        hole, edge = torch.zeros(1, 1, size, size), size // 4
        hole[..., edge : edge + size // 2, edge : edge + size // 2] = 1
        return hole

    def source(self, x: Tensor) -> Tensor:
        """The condition of images ``[n, channels, s, s]``: the image without the hole, and the hole."""
        hole = self.hole().expand(len(x), -1, -1, -1)
        return torch.cat([x * (1 - hole), hole], 1)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        return (Batch(batch.x, c=self.source(batch.x)) for batch in super().batches(start))

    def conditions(self, n: int) -> Tensor | None:
        held = self.examples.split("test")
        return self.source(held.batch(torch.arange(n) % max(len(held), 1)).x)
