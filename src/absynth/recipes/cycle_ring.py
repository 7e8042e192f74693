"""Unpaired translation in the plane, where the map is known: a ring of eight Gaussians and its rotated, larger copy.

Y is X turned by a sixteenth of a turn and enlarged by half. The map is known up to the ring's sixteen symmetries, none
of which unpaired examples can tell from another; a translator that is as good as the true map makes Y's law out of X
and comes back to where it began.

The L₁ cycle acts as friction does: where two maps undo each other, a step of either costs its weight at once, and
teaching that pulls by less than that moves nothing. At the authors' weight of 10 whole rings stuck between the modes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from absynth.algorithms.cycle_cooperative import CycleCooperative
from absynth.data.toy import EightGaussians
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.networks.mlp import mlp_f
from absynth.networks.translator import VectorTranslator
from absynth.recipes._cycle import CycleRecipe
from absynth.recipes.recipe import Recipe
from absynth.seeding import stream
from absynth.types import Batch, Rng

X = EightGaussians(radius=2.0, std=0.2)
"""The law of the first domain."""
SCALE, ANGLE = 1.5, math.pi / 8
"""Of the map from X to Y."""


def to_y(x: Tensor) -> Tensor:
    """The true map, ``[n, 2] -> [n, 2]``."""
    cos, sin = SCALE * math.cos(ANGLE), SCALE * math.sin(ANGLE)
    return x @ x.new_tensor([[cos, sin], [-sin, cos]])


def sample_y(n: int, rng: Rng) -> Tensor:
    """Draws of the second domain ``[n, 2]``."""
    return to_y(X.sample(n, rng))


@dataclass(frozen=True, kw_only=True)
class CycleRing(CycleRecipe):
    """Cycle-consistent cooperative networks between two rings in the plane, unpaired."""

    steps: int = 1000
    batch: int = 200
    threads: int = 1
    cycle: float = 0.1
    """Weight of cycle consistency; maps begin as each other's inverse, so little keeps them so."""
    step_size: float = 0.15
    temperature: float = 0.25
    ebm_lr: float = 2e-3
    """Adam's rate for both f: at a quarter of this, maps that begin between the modes stayed there."""
    translator_lr: float = 1e-3
    decay: float = 0.5
    width: int = 128
    """Hidden units of each network's two hidden layers."""
    reference_std: float = 4.0
    """Standard deviation of both Gaussian references."""

    def algorithm(self) -> CycleCooperative:
        def ebm() -> EBM:
            return EBM(mlp_f(2, self.width, "silu"), StandardNormal(2, std=self.reference_std))

        to_y = VectorTranslator(2, self.width)
        to_x = VectorTranslator(2, self.width).begin_as_inverse_of(to_y)
        return CycleCooperative(ebm(), ebm(), to_x, to_y, sampler=self.sampler(), teach=self.teach, cycle=self.cycle)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        step = start
        while True:  # they follow from (seed, step) as everything does
            x, y = (
                sample(self.batch, stream(self.seed, 0, step, 10, k)) for k, sample in enumerate((X.sample, sample_y))
            )
            yield Batch(x, y)
            step += 1

    def conditions(self, n: int) -> Tensor | None:
        return sample_y(n, stream(self.seed, 0, 1_000_000, 10, 1))

    def tiny(self) -> Recipe:
        return replace(self, steps=4, batch=8, width=8, chain_steps=3, log_every=1, checkpoint_every=2)
