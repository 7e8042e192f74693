"""A pyramid of patch energies on one image of yours: random samples of any size, edits, super-resolution.

The coarsest scale decides what is kept: where its patches are nearly as large as the image, the layout is that of the
source; where they are small, pieces of the source move freely. A patch should see the smallest structure that must stay
whole at the coarsest scale, such as a brick and its joint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.patchwise import Patchwise
from absynth.errors import InputError
from absynth.recipes._fields import restarted
from absynth.recipes.bounds import Count, Natural, NonNegative, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe

PRESETS = {
    "brick": Preset(minutes=1, scales=5),
    "beehive": Preset(minutes=1),
    "china": Preset(minutes=1),
    "coffee": Preset(minutes=1),
}
STEP = 0.06
"""Step size of the pixels, and noise of the coarsest scale, in standard deviations of the image."""


@dataclass(frozen=True, kw_only=True)
class PatchwiseRecipe(Recipe):
    """Single-image model: a pyramid of patch energies (Zheng et al. 2021; Elnekave and Weiss 2022)."""

    kinds = ("picture",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "batch": 1, "side": 32, "scales": 2, "filters": 4}

    steps: Count = 720
    batch: Count = 2
    """Number of samples that training makes."""
    threads: Natural = 1
    side: Count = 112
    """Longer side in pixels that the image is resized to."""
    whole: bool = True
    """Whether the whole image is used, in its colours; else its central square, grey, of fixed contrast."""
    scales: Count = 4
    """Number of scales of the pyramid."""
    scale_factor: Positive = 2**0.5
    """Ratio of one scale to the next."""
    patch: Count = 7
    """Side of a patch in pixels, odd."""
    filters: Count = 32
    """Number of random filters per update."""
    pixel_step_size: NonNegative = 0.0
    """Learning rate of the pixels (Adam); found from the image's contrast."""
    pixel_noise: NonNegative = 0.0
    """Standard deviation of noise on the pixels at the coarsest scale, fading out; found from the image's contrast."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, PatchwiseRecipe)
        if self.steps < self.scales:
            raise InputError(f"expected --steps of at least one per scale, got {self.steps} for {self.scales}")
        if self.patch % 2 == 0 or self.scale_factor <= 1:
            raise InputError(
                f"expected an odd --patch and --scale-factor above 1, got {self.patch} and {self.scale_factor:g}"
            )
        step = STEP * float(found.examples.image.std())  # type: ignore[attr-defined]
        return replace(found, pixel_step_size=self.pixel_step_size or step, pixel_noise=self.pixel_noise or step)

    def scale_steps(self) -> list[int]:
        """Updates of each scale, coarsest first, which has twice as many as another."""
        rest = self.steps // (self.scales + 1)
        return [self.steps - rest * (self.scales - 1), *[rest] * (self.scales - 1)]

    def algorithm(self) -> Algorithm:
        data: Any = self.examples
        image = data.image
        size = (self.side, self.side) if data.piece else self.shape[1:]
        if not image.numel():  # the data are not at hand: the weights of a trained run hold the image
            image = torch.zeros(self.shape[0], *size)
        return Patchwise(
            image,
            side=(size[0], size[1]),
            steps=self.scale_steps(),
            factor=self.scale_factor,
            patch=self.patch,
            filters=self.filters,
            textures=self.batch,
            step_size=self.pixel_step_size,
            noise=self.pixel_noise,
        )

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"canvas": Adam(algorithm.get_submodule("canvas").parameters(), self.pixel_step_size)}

    def schedule(self, step: int) -> float:
        return restarted(step, self.scale_steps())
