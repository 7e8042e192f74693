"""Unpaired translation of sequences (Xie et al. 2021): points on two circles that turn at different speeds.

X turns on the unit circle counterclockwise, ``speed`` radians per frame, from a uniform angle; Y turns on a larger
circle at −speed. Frame by frame every rotation and every reflection takes the one circle to the other and back, so
plain cycle consistency takes whichever comes; only a reflection makes a sequence of X one that moves as Y does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.cycle_cooperative import Domain
from absynth.algorithms.cycle_sequences import CycleSequences
from absynth.data.toy import CircleSequences
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.networks.mlp import mlp, mlp_f
from absynth.networks.translator import FramePredictor
from absynth.recipes._cycle import CycleRecipe
from absynth.recipes.bounds import Count, NonNegative, Positive
from absynth.recipes.presets import Preset
from absynth.seeding import stream
from absynth.types import Batch

PRESETS = {"circle_sequences": Preset(minutes=2, recorded="cycle_sequences")}


@dataclass(frozen=True, kw_only=True)
class CycleSequencesRecipe(CycleRecipe):
    """Cycle-consistent cooperative networks for sequences of points (Xie et al. 2021)."""

    kinds = ("toy",)
    takes_sequences = True

    steps: Count = 1000
    batch: Count = 32
    threads: int = 1
    chain_step_size: Positive = 0.05
    cycle_weight: NonNegative = 0.0
    spatio_temporal_weight: NonNegative = 10.0
    """Weight of the loss through the other domain's future; with 0 and --cycle-weight 10, the per-frame cycle."""
    energy_width: Count = 64
    """Hidden units of each network's two hidden layers, and of the predictors."""
    reference_std: Positive = 2.0
    """Standard deviation of both Gaussian references."""

    def law(self, which: Domain) -> CircleSequences:
        """The sequences of a domain."""
        return CircleSequences(which, self.shape[0])

    def algorithm(self) -> CycleSequences:
        def ebm() -> EBM:
            return EBM(mlp_f(2, self.energy_width, self.energy_activation), StandardNormal(2, std=self.reference_std))

        to_x, to_y = (mlp([2, self.energy_width, self.energy_width, 2], "silu") for _ in range(2))
        return CycleSequences(
            ebm(), ebm(), to_x, to_y, FramePredictor(2, self.energy_width), FramePredictor(2, self.energy_width),
            sampler=self.sampler(), teach=self.teaching_weight, cycle=self.cycle_weight,
            spatio_temporal=self.spatio_temporal_weight,
        )  # fmt: skip

    def batches(self, start: int = 0) -> Iterator[tuple[Batch, Batch]]:  # type: ignore[override]
        step = start
        while True:
            x = self.law("x").sample(self.batch, stream(self.seed, 0, step, 10, 0))
            y = self.law("y").sample(self.batch, stream(self.seed, 0, step, 10, 1))
            yield Batch(x), Batch(y)
            step += 1

    def conditions(self, n: int) -> Tensor | None:
        return self.law("y").sample(n, stream(self.seed, 0, 1_000_000, 10, 1))


def turned(x: Float[Tensor, "n frames 2"], which: Domain) -> Float[Tensor, "n frames 2"]:
    """Where a point of the domain is one frame later, without its noise."""
    angle = CircleSequences(which).turn
    cos, sin = math.cos(angle), math.sin(angle)
    return x @ torch.tensor([[cos, sin], [-sin, cos]], dtype=x.dtype)
