"""The one door through which samplers ask for gradients.

A sampler calls ``score = engine.score(log_density)`` once a chain and ``score(x)`` once a step, and does not know how
the gradient is computed. Today there is the eager form; compiled and captured forms belong behind this same door.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from absynth import density
from absynth.types import LogDensity


def score(log_density: LogDensity) -> Callable[[Tensor], Tensor]:
    """x ↦ ∇_x log density, for the length of one chain."""
    return partial(density.score, log_density)


def value_and_score(log_density: LogDensity) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """x ↦ (log density, ∇_x log density), for samplers with a Metropolis test."""
    return partial(density.value_and_score, log_density)
