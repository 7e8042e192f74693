"""Image to image by conditional cooperative learning (Xie et al. 2021): pairs of a source and a target.

At 64×64 and small widths (128×128 and 64 maps in the paper). Settings differ from the authors' code: γ = .5 for their
.2, and chains with noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from absynth.networks.conditional import PictureF, PictureGenerator
from absynth.recipes._conditional import ConditionalRecipe
from absynth.recipes.bounds import Count
from absynth.recipes.presets import Preset
from absynth.types import Batch

PRESETS = {
    "facades": Preset(
        minutes=4, recorded="facades", steps=350, batch=20, threads=1, checkpoint_every=175, truth_weight=0.5,
        chain_steps=10, temperature=5e-6, data_noise=0.01, energy_lr=5e-5, generator_lr=1e-3, energy_width=16,
        generator_width=16,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ImageToImage(ConditionalRecipe):
    """Conditional cooperative learning, image to image (Xie et al. 2021)."""

    kinds = ("pairs",)
    TINY: ClassVar[dict[str, Any]] = {**ConditionalRecipe.TINY, "limit": 8}

    size: Count = 64
    """Side in pixels that both images of a pair are resized to."""
    targets: str = ""
    """Folder of the targets, if --data is one of sources; empty: pairs side by side in one file."""
    latent: Count = 16

    def f(self) -> nn.Module:
        channels, size, _ = self.shape
        return PictureF(self._sources(), channels, size, self.energy_width, self.energy_activation)

    def net(self) -> nn.Module:
        channels, size, _ = self.shape
        return PictureGenerator(self._sources(), channels, size, self.latent, self.generator_width)

    def _sources(self) -> int:
        """Channels of the condition."""
        return self.examples.details()["source_shape"][0]

    def batches(self, start: int = 0) -> Iterator[Batch]:
        return (batch._replace(index=None) for batch in super().batches(start))

    def conditions(self, n: int) -> Tensor | None:
        held = self.examples.split("test")
        return held.batch(torch.arange(n) % max(len(held), 1)).c
