"""Underdamped Langevin dynamics by the BAOAB splitting (Leimkuhler and Matthews 2013, arXiv:1203.5428).

dx = v dt, dv = ∇log p(x) dt − γ v dt + √(2γ) dW, in steps of length h: half a kick (B), half a drift (A), friction and
noise exactly (O), half a drift, half a kick. The gradient of a step's last kick serves the next step's first, so a
step costs one. On a Gaussian the positions' stationary law is the target itself for every stable step, h√λ < 2, where
Euler's Langevin has a bias of order δ²; and motion with momentum crosses a badly scaled target in fewer steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from absynth.samplers import engine
from absynth.samplers.langevin import last, validate_steps
from absynth.seeding import noise_like
from absynth.types import LogDensity, Rng, State


@dataclass(frozen=True)
class Underdamped:
    """K steps of BAOAB; velocities start from N(0, I) and are forgotten at the end.

    Args:
        steps: K.
        step_size: h, in the units of a leapfrog step: h²/2 multiplies the score where Langevin has δ²/2.
        friction: γ per unit of time. Large values forget the velocity in every step (then it is Langevin without
            Euler's bias); the fastest mixing is near the square root of the smallest curvature.
    """

    steps: int
    step_size: float
    friction: float = 1.0
    temperature = 1.0

    def __post_init__(self) -> None:
        validate_steps(self.steps, step_size=self.step_size, friction=self.friction)

    def path(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Iterator[State]:
        """The start and every step after it: ``steps + 1`` states."""
        score = engine.score(log_density)
        half = 0.5 * self.step_size
        keep = math.exp(-self.friction * self.step_size)
        spread = math.sqrt(1 - keep * keep)
        x = x.detach()
        velocity = noise_like(x, rng)
        yield State(x)
        force = score(x)
        for _ in range(self.steps):
            velocity = velocity + half * force
            x = x + half * velocity
            velocity = keep * velocity + spread * noise_like(x, rng)
            x = x + half * velocity
            force = score(x)
            velocity = velocity + half * force
            yield State(x)

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return last(self.path(log_density, x, rng=rng))
