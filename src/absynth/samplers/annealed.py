"""Langevin dynamics whose temperature falls along the chain.

x ← x + (δ²/2) ∇log p(x) + δ √T_k ε, with T_k geometric from ``hot`` to ``cold``, or linear in √T_k where ``cold`` is
zero (the noise that several image models let fade out). On N(m, v) the law after K steps is exact: the variance obeys
v_{k+1} = a² v_k + δ² T_k with a = 1 − δ²/(2v).
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
class AnnealedLangevin:
    """K Langevin steps from temperature ``hot`` to temperature ``cold``.

    Args:
        steps: K.
        step_size: δ.
        hot: temperature of the first step.
        cold: temperature of the last step; 1 ends at the target, 0 ends without noise.
    """

    steps: int
    step_size: float
    hot: float = 10.0
    cold: float = 1.0

    def __post_init__(self) -> None:
        validate_steps(self.steps, step_size=self.step_size, hot=self.hot, cold=self.cold)

    @property
    def temperature(self) -> float:
        """The temperature at the end of the chain."""
        return self.cold

    def temperatures(self) -> list[float]:
        """T_1 … T_K."""
        fractions = [k / max(self.steps - 1, 1) for k in range(self.steps)]
        if self.cold > 0:
            return [self.hot * (self.cold / self.hot) ** t for t in fractions]
        return [self.hot * (1 - t) ** 2 for t in fractions]

    def path(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Iterator[State]:
        """The start and every step after it: ``steps + 1`` states."""
        score = engine.score(log_density)
        drift = 0.5 * self.step_size**2
        x = x.detach()
        yield State(x)
        for temperature in self.temperatures():
            x = x + drift * score(x)
            if temperature > 0:
                x = x.add_(noise_like(x, rng), alpha=self.step_size * math.sqrt(temperature))
            yield State(x)

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        noise_scales = [self.step_size * math.sqrt(temperature) for temperature in self.temperatures()]
        drift = 0.5 * self.step_size**2
        end = engine.langevin(log_density, x, drift=drift, noise_scales=noise_scales, rng=rng)
        return last(self.path(log_density, x, rng=rng)) if end is None else end
