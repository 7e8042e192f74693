"""Unpaired translation in the plane, where the map is known: a ring of eight Gaussians and its rotated, larger copy.

Y is X turned by a sixteenth of a turn and enlarged by half. The map is known up to the ring's sixteen symmetries, none
of which unpaired examples can tell from another; a translator that is as good as the true map makes Y's law out of X
and returns to where it began. The L₁ cycle acts as friction: where two maps undo each other, a step of either costs its
weight at once, and teaching that pulls by less than that moves nothing. At the authors' weight of 10 whole rings
stuck between the modes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from absynth.algorithms.cycle_cooperative import CycleCooperative
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks.mlp import mlp_f
from absynth.networks.translator import VectorTranslator
from absynth.recipes._cycle import CycleRecipe
from absynth.recipes.bounds import Count, NonNegative, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.seeding import stream
from absynth.types import Batch, Rng

SCALE, ANGLE = 1.5, math.pi / 8
"""Of the map from X to Y."""

PRESETS = {
    "wide_ring": Preset(
        minutes=2, recorded="cycle_ring", steps=1000, batch=200, threads=1, cycle_weight=0.1, chain_step_size=0.15,
        temperature=0.25, energy_lr=2e-3, translator_lr=1e-3,
    ),
}  # fmt: skip


def to_y(x: Tensor) -> Tensor:
    """The true map, ``[n, 2] -> [n, 2]``."""
    cos, sin = SCALE * math.cos(ANGLE), SCALE * math.sin(ANGLE)
    return x @ x.new_tensor([[cos, sin], [-sin, cos]])


@dataclass(frozen=True, kw_only=True)
class CycleVectors(CycleRecipe):
    """Cycle-consistent cooperative networks between a toy set and its rotated, larger copy, unpaired."""

    kinds = ("toy",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "energy_width": 8, "chain_steps": 3}

    energy_width: Count = 128
    """Hidden units of each network's two hidden layers."""
    reference_std: Positive = 4.0
    """Standard deviation of both Gaussian references."""
    chain_step_size: Positive = 0.15
    temperature: NonNegative = 0.25

    def resolve(self) -> Recipe:
        found = super().resolve()
        if found.shape != (2,):
            raise InputError(f"cycle translates toy sets in the plane, got examples of shape {list(found.shape)}")
        return found

    def sample(self, n: int, rng: Rng) -> Tensor:
        """n draws of the first domain, ``[n, 2]``."""
        return self.examples.sample(n, rng)  # type: ignore[attr-defined]

    def algorithm(self) -> CycleCooperative:
        def ebm() -> EBM:
            return EBM(mlp_f(2, self.energy_width, "silu"), StandardNormal(2, std=self.reference_std))

        forth = VectorTranslator(2, self.energy_width)
        back = VectorTranslator(2, self.energy_width).begin_as_inverse_of(forth)
        return CycleCooperative(
            ebm(), ebm(), back, forth, sampler=self.sampler(), teach=self.teaching_weight, cycle=self.cycle_weight
        )

    def batches(self, start: int = 0) -> Iterator[tuple[Batch, Batch]]:  # type: ignore[override]
        step = start
        while True:
            x = self.sample(self.batch, stream(self.seed, 0, step, 10, 0))
            y = to_y(self.sample(self.batch, stream(self.seed, 0, step, 10, 1)))
            yield Batch(x), Batch(y)
            step += 1

    def conditions(self, n: int) -> Tensor | None:
        return to_y(self.sample(n, stream(self.seed, 0, 1_000_000, 10, 1)))
