"""Samplers that run another one, and how to change what is inside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from absynth.types import LogDensity, Sampler


@dataclass(frozen=True)
class Wrapped:
    """A sampler that runs another one; questions about its steps go to that one.

    Args:
        sampler: what runs inside.
    """

    sampler: Sampler

    def inner(self, log_density: LogDensity, x: Tensor) -> tuple[LogDensity, Tensor]:
        """The log density and the states in the coordinates in which the sampler inside runs; x itself by default."""
        return log_density, x

    @property
    def steps(self) -> int:
        """Steps of the sampler inside."""
        return self.sampler.steps  # type: ignore[attr-defined]

    @property
    def step_size(self) -> float:
        """Step size of the sampler inside."""
        return self.sampler.step_size  # type: ignore[attr-defined]

    @property
    def noise_scale(self) -> float | None:
        """Noise of the sampler inside, where it has one of its own."""
        return getattr(self.sampler, "noise_scale", None)

    @property
    def temperature(self) -> float:
        """The temperature that is really sampled."""
        return self.sampler.temperature  # type: ignore[attr-defined]


def altered(sampler: Any, **changes: Any) -> Any:
    """The sampler with other numbers, of the sampler inside where it is wrapped.

    >>> from absynth.samplers import Adapted, Langevin
    >>> altered(Adapted(Langevin(20, 0.1), warmup=10), step_size=0.05)
    Adapted(sampler=Langevin(steps=20, step_size=0.05, noise_scale=None), warmup=10, target_accept=0.574)
    """
    if isinstance(sampler, Wrapped):
        return replace(sampler, sampler=altered(sampler.sampler, **changes))
    return replace(sampler, **changes)
