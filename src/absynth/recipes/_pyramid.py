"""What recipes on a pyramid of resolutions share: the sides, the chain of each, and how a guard looks at them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from absynth.errors import InputError
from absynth.networks.mlp import Activation
from absynth.recipes._pictures import PictureRecipe
from absynth.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class PyramidRecipe(PictureRecipe):
    """An experiment on pictures at several resolutions, each side twice the one before."""

    batch: int = 64
    grids: int = 3
    """Resolutions."""
    checkpoint_every: int = 500
    width: int = 32
    """Maps of the finest f's first layer; they double where the side halves."""
    ebm_activation: Activation = "silu"
    """Activation of f; smooth ones keep Langevin steady."""
    chain_steps: int = 15
    """K, Langevin steps at each resolution."""
    step_size: float = math.sqrt(2)
    """δ of x + (δ²/2)·score + noise; for x + η∇f + s·noise it is √(2η)."""
    data_noise: float = 0.03
    """Standard deviation of noise added to the data."""
    lr: float = 3e-4
    """Adam's rate."""
    # As for any short run at a temperature near 0 (see short_run_images): δ²λ is no statement about variance there, f
    # grows before chains follow, and the one remedy is a smaller rate.
    guard_gap: float = 20.0
    guard_stability: float = 100.0
    guard_step_size: float = 1.0
    guard_learning_rate: float = 0.3

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides in pixels, coarsest first."""
        return tuple(self.size // 2**k for k in reversed(range(self.grids)))

    def resolve(self) -> Recipe:
        recipe = super().resolve()
        assert isinstance(recipe, PyramidRecipe)
        if recipe.grids < 1 or recipe.size % 2 ** (recipe.grids - 1) or recipe.sizes[0] < 4:
            raise InputError(
                f"--grids {recipe.grids} needs a side that halves {recipe.grids - 1} times and ends at 4 or more, got "
                f"{recipe.size}: crop with --size, or give fewer grids"
            )
        return recipe

    def tiny(self) -> Recipe:
        return replace(self, steps=6, batch=8, limit=64, width=4, chain_steps=3, log_every=1, checkpoint_every=3)
