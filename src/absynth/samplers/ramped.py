"""Langevin dynamics with a temperature that rises from 0 to 1.

x ← x + (δ²/2) ∇log p(x) + δ √T_k ε, with T_k = 0 up to the share ``zero_until`` of the steps, rising linearly to 1 at
the share ``one_from``, and 1 from there on: gradient flow from noise to the data, then a chain that mixes among them.
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
class RampedLangevin:
    """K Langevin steps from temperature 0 to temperature 1.

    Args:
        steps: K.
        step_size: δ.
        zero_until: Share of the steps without noise.
        one_from: Share of the steps after which the temperature is 1.

    >>> RampedLangevin(5, 0.1, zero_until=0.5, one_from=0.75).temperatures()
    [0.0, 0.0, 0.0, 1.0, 1.0]
    """

    steps: int
    step_size: float
    zero_until: float = 0.4
    one_from: float = 0.5

    def __post_init__(self) -> None:
        validate_steps(self.steps, step_size=self.step_size)

    @property
    def temperature(self) -> float:
        """The temperature at the end of the chain."""
        return 1.0

    def temperatures(self) -> list[float]:
        """T_1 … T_K."""
        shares = [k / max(self.steps - 1, 1) for k in range(self.steps)]
        rise = max(self.one_from - self.zero_until, 1e-12)
        return [min(max((s - self.zero_until) / rise, 0.0), 1.0) for s in shares]

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
