"""Conditional cooperative learning (Xie, Zheng, Fang, Zhu, Wu 2021, arXiv:1902.02812).

Label to image by conditional cooperative learning (Xie et al. 2021).

A generator of half the width, chains of 5 steps and averaged weights make twice the updates of the first form of this
preset in the same time, and a Fréchet distance of 5.6 on MNIST after two CPU minutes, where the floor is 2.5. With
averaged weights the learning rates need not fall, so a run can be extended.

Image to image by conditional cooperative learning (Xie et al. 2021): pairs of a source and a target.

At 64×64 and small widths (128×128 and 64 maps in the paper). Settings differ from the authors' code: γ = .5 for their
.2, and chains with noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.networks.conditional import LabelF, PictureF, PictureGenerator, WithLabel
from absynth.networks.deconvnet import deconv_generator
from absynth.recipes._conditional import ConditionalRecipe
from absynth.recipes.bounds import Count
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.types import Batch

_SMALL: dict[str, Any] = {
    "steps": 1400, "batch": 64, "threads": 1, "checkpoint_every": 350, "latent": 32, "chain_steps": 5,
    "energy_lr": 1e-3,
    "generator_lr": 1e-3, "energy_width": 16, "generator_width": 8, "ema": 0.99, "final_share": 0.0,
}  # fmt: skip

_FIRST: dict[str, Any] = _SMALL | {
    "steps": 1300, "checkpoint_every": 260, "chain_steps": 10, "generator_width": 16, "ema": 0.0, "final_share": 0.2
}  # fmt: skip
_MEDIUM: dict[str, Any] = _SMALL | {"steps": 7000, "batch": 32, "ema": 0.995, "limit": 0, "checkpoint_every": 500}

PRESETS = {
    "mnist": Preset(minutes=2, recorded="conditional_mnist", **_SMALL),
    "mnist5k": Preset(minutes=2, **_SMALL),
    "fashion_mnist": Preset(minutes=2, **_SMALL | {"steps": 1500}),
    "mnist/medium": Preset(minutes=5, **_MEDIUM),
    "fashion_mnist/medium": Preset(minutes=5, **_MEDIUM),
    "mnist/wide": Preset(minutes=3, **_FIRST),
    "fashion_mnist/wide": Preset(minutes=3, **_FIRST),
    "facades": Preset(
        minutes=4, recorded="facades", steps=350, batch=20, threads=1, checkpoint_every=175, truth_weight=0.5,
        chain_steps=10, temperature=5e-6, data_noise=0.01, energy_lr=5e-4, generator_lr=1e-3, energy_width=16,
        generator_width=16,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LabelToImage(ConditionalRecipe):
    """Conditional cooperative learning, label to image (Xie et al. 2021)."""

    kinds = ("image",)

    def resolve(self) -> Recipe:
        found = super().resolve()
        if not found.classes:
            raise InputError(
                f"expected images with labels, got none in {found.examples.name}: give a folder with one sub-folder "
                "per class, or use cooperative"
            )
        return found

    def f(self) -> nn.Module:
        channels, size, _ = self.shape
        return LabelF(channels, size, self.classes, self.energy_width, self.energy_activation)

    def net(self) -> nn.Module:
        channels, size, _ = self.shape
        g = deconv_generator(self.latent + self.classes, size, channels, self.generator_width)
        return WithLabel(g, self.classes)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        return (batch._replace(c=batch.y) for batch in super().batches(start))

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes


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
