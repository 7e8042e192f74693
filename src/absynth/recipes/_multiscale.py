"""What recipes on several resolutions share: the sides, the chain of each, how the guard looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from absynth.errors import InputError
from absynth.recipes._fields import ColdChains, DataChain, ImageOptions, VideoOptions
from absynth.recipes.bounds import Count, NonNegative, Positive
from absynth.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class MultiscaleRecipe(ColdChains, ImageOptions, VideoOptions, DataChain, Recipe):
    """Images, clips or shapes at several resolutions, each side twice the one before."""

    kinds = ("image", "video", "voxels")
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "steps": 6, "checkpoint_every": 3, "batch": 4}

    batch: Count = 64
    grids: Count = 3
    """Number of resolutions."""
    energy_width: Count = 32
    """Maps of the finest energy network's first layer; they double where the side halves."""
    data_noise: NonNegative = 0.03
    """Standard deviation of noise added to the data."""
    energy_lr: Positive = 3e-4
    guard_learning_rate: Positive = 0.3
    """Factor on the learning rates, the one mitigation of a short run."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The last side at each resolution, coarsest first."""
        return tuple(self.shape[-1] // 2**k for k in reversed(range(self.grids)))

    def sides(self, size: int) -> tuple[int, ...]:
        """All sides at the resolution whose last side is ``size``."""
        return tuple(side * size // self.shape[-1] for side in self.shape[1:])

    def resolve(self) -> Recipe:
        found = super().resolve()
        side = min(found.shape[1:])
        if any(s % 2 ** (self.grids - 1) for s in found.shape[1:]) or side // 2 ** (self.grids - 1) < 4:
            raise InputError(
                f"--grids {self.grids} needs a side that halves {self.grids - 1} times and ends at 4 or more, got "
                f"{'×'.join(map(str, found.shape[1:]))}: crop with --size, or give fewer grids"
            )
        return found
