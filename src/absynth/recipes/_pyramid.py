"""Options of a pyramid of patch distances on one image, which textures and single images share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.texture_pyramid import TexturePyramid
from absynth.errors import InputError
from absynth.recipes._fields import restarted
from absynth.recipes.bounds import Count, Natural, NonNegative, Positive
from absynth.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class PatchPyramid(Recipe):
    """A pyramid of patch distances on one image."""

    kinds = ("picture",)
    TINY: ClassVar[Mapping[str, Any]] = {**Recipe.TINY, "scales": 2, "filters": 4}

    batch: Count = 2
    """Number of images that training synthesizes."""
    threads: Natural = 1
    scales: Count = 4
    """Number of scales of the pyramid."""
    scale_factor: Positive = 2**0.5
    """Ratio of one scale to the next."""
    patch: Count = 7
    """Side of a patch in pixels, odd."""
    filters: Count = 32
    """Number of random filters per update."""
    pixel_step_size: NonNegative = 0.0
    """Learning rate of the pixels (Adam), which falls to 0 in the second half of each scale's updates."""
    pixel_noise: NonNegative = 0.0
    """Standard deviation of noise on the pixels at the coarsest scale, fading out."""

    def check_pyramid(self) -> None:
        """Raise an InputError unless the scales have updates, and patches a centre."""
        if self.steps < self.scales:
            raise InputError(f"expected --steps of at least one per scale, got {self.steps} for {self.scales}")
        if self.patch % 2 == 0 or self.scale_factor <= 1:
            raise InputError(
                f"expected an odd --patch and --scale-factor above 1, got {self.patch} and {self.scale_factor:g}"
            )

    def coarsest_parts(self) -> int:
        """Updates of the coarsest scale over those of another."""
        return 2

    def scale_steps(self) -> list[int]:
        """Updates of each scale, coarsest first."""
        if self.scales == 1:
            return [self.steps]
        rest = self.steps // (self.coarsest_parts() + self.scales - 1)
        return [self.steps - rest * (self.scales - 1), *[rest] * (self.scales - 1)]

    def pyramid(self, model: type[TexturePyramid], side: tuple[int, int], exemplar: Sequence[int]) -> TexturePyramid:
        """A model of the image.

        Args:
            model: Its class.
            side: Height and width of what it synthesizes.
            exemplar: Height and width of the image.
        """
        image: Tensor = self.examples.image  # type: ignore[attr-defined]
        if not image.numel():  # the data are not at hand: the weights of a trained run hold the image
            image = torch.zeros(self.shape[0], *exemplar)
        return model(
            image, side=side, steps=self.scale_steps(), factor=self.scale_factor, patch=self.patch,
            filters=self.filters, textures=self.batch, step_size=self.pixel_step_size, noise=self.pixel_noise,
        )  # fmt: skip

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"canvas": Adam(algorithm.get_submodule("canvas").parameters(), self.pixel_step_size)}

    def schedule(self, step: int) -> float:
        return restarted(step, self.scale_steps())
