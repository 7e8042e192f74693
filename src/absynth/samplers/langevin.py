"""Unadjusted Langevin dynamics, the sampler that every method here uses inside its learning loop.

x ← x + (δ²/2) ∇log p(x) + τ ε, ε ~ N(0, I). With τ = δ (the default) it is the Euler form of Langevin's equation;
on N(m, P⁻¹) its stationary covariance is P⁻¹(I − δ²P/4)⁻¹, and it is stable while δ² times the largest curvature is
below 4. With τ ≠ δ it samples temperature (τ/δ)².
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from absynth.errors import InputError
from absynth.samplers import engine
from absynth.seeding import noise_like
from absynth.types import LogDensity, Rng, State


def validate_steps(steps: int, **numbers: float | None) -> None:
    """Raise an InputError for a negative number of steps, and for numbers that are negative or not finite."""
    if steps < 0:
        raise InputError(f"steps must be 0 or more, got {steps}")
    for name, number in numbers.items():
        if number is not None and not 0 <= number < math.inf:
            raise InputError(f"{name} must be finite and not negative, got {number:g}")


def last(path: Iterator[State]) -> Tensor:
    """Run a path to its end and return where the chains stand."""
    return deque(path, maxlen=1).pop().x


@dataclass(frozen=True)
class Langevin:
    """K steps of Langevin dynamics.

    Args:
        steps: K.
        step_size: δ of x ← x + (δ²/2)·score + noise. (Papers that print s use δ² = 2s; those that print Δt, δ² = Δt.)
        noise_scale: τ, the standard deviation of the injected noise; None is τ = δ, true Langevin.

    >>> Langevin(60, 0.4).temperature
    1.0
    """

    steps: int
    step_size: float
    noise_scale: float | None = None

    def __post_init__(self) -> None:
        validate_steps(self.steps, step_size=self.step_size, noise_scale=self.noise_scale)

    @property
    def temperature(self) -> float:
        """(τ/δ)², the temperature that is really sampled."""
        return 1.0 if self.noise_scale is None else (self.noise_scale / self.step_size) ** 2

    def path(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Iterator[State]:
        """The start and every step after it: ``steps + 1`` states."""
        score = engine.score(log_density)
        drift = 0.5 * self.step_size**2
        noise_scale = self.step_size if self.noise_scale is None else self.noise_scale
        x = x.detach()
        yield State(x)
        for _ in range(self.steps):
            x = torch.add(x, score(x), alpha=drift)
            if noise_scale > 0:
                x = x.add_(noise_like(x, rng), alpha=noise_scale)
            yield State(x)

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        noise_scale = self.step_size if self.noise_scale is None else self.noise_scale
        drift, noise_scales = 0.5 * self.step_size**2, [noise_scale] * self.steps
        end = engine.langevin(log_density, x, drift=drift, noise_scales=noise_scales, rng=rng)
        return last(self.path(log_density, x, rng=rng)) if end is None else end
