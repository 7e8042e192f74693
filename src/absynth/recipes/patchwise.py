"""A pyramid of patch energies on one image of yours: random samples of any size, edits, super-resolution.

The coarsest scale decides what is kept: where its patches are nearly as large as the image, the layout is that of the
source; where they are small, pieces of the source move freely. A patch should see the smallest structure that must stay
whole at the coarsest scale, such as a brick and its joint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from absynth.algorithms import Algorithm
from absynth.algorithms.patchwise import Patchwise
from absynth.recipes._pyramid import PatchPyramid
from absynth.recipes.bounds import Count
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe

PRESETS = {
    "brick": Preset(minutes=0.6, recorded="single_image.brick, patch distance", scales=5),
    "beehive": Preset(minutes=0.5, recorded="single_image.beehive, patch distance"),
    "china": Preset(minutes=0.5, recorded="single_image.china, patch distance"),
    "coffee": Preset(minutes=0.5, recorded="single_image.coffee, patch distance"),
}
STEP = 0.06
"""Step size of the pixels, and noise of the coarsest scale, in standard deviations of the image."""


@dataclass(frozen=True, kw_only=True)
class PatchwiseRecipe(PatchPyramid):
    """Single-image model: a pyramid of patch energies (Zheng et al. 2021; Elnekave and Weiss 2022).

    ``pixel_step_size`` and ``pixel_noise`` of 0 are found from the image's contrast.
    """

    TINY: ClassVar[Mapping[str, Any]] = {**PatchPyramid.TINY, "batch": 1, "side": 32}

    steps: Count = 720
    side: Count = 112
    """Longer side in pixels that the image is resized to."""
    whole: bool = True
    """Whether the whole image is used, in its colours; else its central square, grey, of fixed contrast."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, PatchwiseRecipe)
        self.check_pyramid()
        step = STEP * float(found.examples.image.std())  # type: ignore[attr-defined]
        return replace(found, pixel_step_size=self.pixel_step_size or step, pixel_noise=self.pixel_noise or step)

    def algorithm(self) -> Algorithm:
        data: Any = self.examples
        height, width = (self.side, self.side) if data.piece else self.shape[1:]
        return self.pyramid(Patchwise, (height, width), (height, width))
