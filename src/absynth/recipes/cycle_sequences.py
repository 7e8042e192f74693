"""Unpaired translation of sequences: points on two circles that go round at different speeds.

X goes round the unit circle counterclockwise, ``speed`` radians a frame, from a uniform angle; Y goes round a larger
circle at −speed. Frame by frame every rotation and every reflection takes the one circle to the other and back, so
plain cycle consistency takes whichever comes; only a reflection makes a sequence of X one that moves as Y does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.cycle_cooperative import Domain
from absynth.algorithms.cycle_sequences import CycleSequences
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.networks.mlp import mlp, mlp_f
from absynth.networks.translator import FramePredictor
from absynth.recipes._cycle import CycleRecipe
from absynth.recipes.recipe import Recipe
from absynth.report import Picture, ResultTable
from absynth.seeding import noise_like, stream, uniform_like
from absynth.types import Batch, Rng

RADIUS = {"x": 1.0, "y": 1.5}
TURN = {"x": 1.0, "y": -1.0}
NOISE = 0.05
"""Standard deviation of a point's coordinates, in each frame anew."""


@dataclass(frozen=True, kw_only=True)
class CycleSequencesRecipe(CycleRecipe):
    """Cycle-consistent cooperative networks for sequences: points that go round at different speeds."""

    steps: int = 1000
    batch: int = 32
    threads: int = 1
    frames: int = 8
    """Frames of a sequence."""
    step_size: float = 0.05
    speed: float = 0.6
    """Radians a frame of X; Y has minus that."""
    cycle: float = 0.0
    spatio_temporal: float = 10.0
    """Weight of the loss through the other domain's future; with 0 and --cycle 10, the per-frame cycle."""
    width: int = 64
    """Hidden units of each network's two hidden layers, and of the predictors."""
    reference_std: float = 2.0
    """Standard deviation of both Gaussian references."""

    def algorithm(self) -> CycleSequences:
        def ebm() -> EBM:
            return EBM(mlp_f(2, self.width, "silu"), StandardNormal(2, std=self.reference_std))

        to_x, to_y = (mlp([2, self.width, self.width, 2], "silu") for _ in range(2))
        return CycleSequences(
            ebm(), ebm(), to_x, to_y, FramePredictor(2, self.width), FramePredictor(2, self.width),
            sampler=self.sampler(), teach=self.teach, cycle=self.cycle, spatio_temporal=self.spatio_temporal,
        )  # fmt: skip

    def sequences(self, which: Domain, n: int, rng: Rng) -> Float[Tensor, "n frames 2"]:
        """n sequences of a domain."""
        start = 2 * math.pi * uniform_like(torch.empty(n, 1), rng)
        angle = start + TURN[which] * self.speed * torch.arange(self.frames)
        points = RADIUS[which] * torch.stack([angle.cos(), angle.sin()], -1)
        return points + NOISE * noise_like(points, rng)

    def turned(self, x: Float[Tensor, "n frames 2"], which: Domain) -> Float[Tensor, "n frames 2"]:
        """Where a point of the domain stands a frame later, but for its noise."""
        cos, sin = math.cos(TURN[which] * self.speed), math.sin(TURN[which] * self.speed)
        return x @ x.new_tensor([[cos, sin], [-sin, cos]])

    def batches(self, start: int = 0) -> Iterator[Batch]:
        step = start
        while True:  # they follow from (seed, step) as everything does
            first, second = stream(self.seed, 0, step, 10, 0), stream(self.seed, 0, step, 10, 1)
            yield Batch(self.sequences("x", self.batch, first), self.sequences("y", self.batch, second))
            step += 1

    def conditions(self, n: int) -> Tensor | None:
        return self.sequences("y", n, stream(self.seed, 0, 1_000_000, 10, 1))

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        return super().show(x.flatten(0, 1), file, columns=columns)

    def tiny(self) -> Recipe:
        return replace(self, steps=4, batch=4, width=8, chain_steps=3, log_every=1, checkpoint_every=2)
