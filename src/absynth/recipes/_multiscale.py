"""What recipes on several resolutions share: the sides, the chain of each, how the guard looks at them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from absynth.errors import InputError
from absynth.networks.mlp import Activation
from absynth.recipes.bounds import Count, Natural, NonNegative, Positive
from absynth.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class MultiscaleRecipe(Recipe):
    """Images at several resolutions, each side twice the one before."""

    kinds = ("image",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "steps": 6, "limit": 64, "energy_width": 4, "chain_steps": 3,
                                      "checkpoint_every": 3}  # fmt: skip

    size: Natural = 0
    """Side of your images in pixels; 0 leaves them as found."""
    channels: Natural = 0
    """1 grey, 3 colour; 0 leaves them as found."""
    batch: Count = 64
    grids: Count = 3
    """Number of resolutions."""
    energy_width: Count = 32
    """Maps of the finest energy network's first layer; they double where the side halves."""
    energy_activation: Activation = "silu"
    """Activation of the energy networks; smooth ones keep Langevin steady."""
    chain_steps: Count = 15
    """Number of Langevin steps at each resolution (K)."""
    chain_step_size: Positive = math.sqrt(2)
    """Step size δ of x + (δ²/2)·score + noise; for x + η∇f + s·noise it is √(2η)."""
    data_noise: NonNegative = 0.03
    """Standard deviation of noise added to the data."""
    energy_lr: Positive = 3e-4
    """Learning rate of the energy networks (Adam)."""
    # As for any short run at a temperature near 0 (see maximum_likelihood): δ²λ says nothing about variance there, f
    # grows before chains follow, and the one mitigation is a smaller learning rate.
    guard_difference: Positive = 20.0
    guard_stability: Positive = 100.0
    guard_step_size: Positive = 1.0
    guard_learning_rate: Positive = 0.3

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides in pixels, coarsest first."""
        return tuple(self.shape[1] // 2**k for k in reversed(range(self.grids)))

    def resolve(self) -> Recipe:
        found = super().resolve()
        side = found.shape[1]
        if side % 2 ** (self.grids - 1) or side // 2 ** (self.grids - 1) < 4:
            raise InputError(
                f"--grids {self.grids} needs a side that halves {self.grids - 1} times and ends at 4 or more, got "
                f"{side}: crop with --size, or give fewer grids"
            )
        return found
