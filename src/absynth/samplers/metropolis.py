"""What samplers with a Metropolis test share: a warm-up that freezes, and the walk along the chain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from absynth.errors import InputError
from absynth.samplers import engine
from absynth.samplers.mass import Kind, Mass
from absynth.samplers.record import Record, record_path
from absynth.samplers.warmup import Kernel, Point, ValueAndScore, WarmUp
from absynth.types import LogDensity, Rng, State

DIVERGED = -1000.0
"""A trajectory whose log weight falls below this has left the law of its Hamiltonian: it is given up (Stan's limit)."""


def choose(accept: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Row by row: ``new`` where ``accept [b]`` holds, else ``old``."""
    return torch.where(accept.view(-1, *[1] * (new.ndim - 1)), new, old)


def require_support(value: Tensor) -> None:
    """Raise an InputError where the log density at the start is not finite.

    Such a chain would stay where it is, or wander until it meets the support.
    """
    outside = ~value.isfinite()
    if outside.any():
        raise InputError(
            f"chains must start where the log density is finite, got {float(value[outside][0]):g} at "
            f"{int(outside.sum())} of {len(value)}: start inside the support, as absynth.draw finds it"
        )


class Move(NamedTuple):
    """One transition of b chains."""

    point: Point
    accepted: Tensor
    """``[b]``, 1 where the chain moved."""
    acceptance: Tensor
    """``[b]``, acceptance probability, averaged over the proposals of the transition."""
    diverged: Tensor | None = None
    """Bool ``[b]``."""
    gradients: Tensor | int = 1
    """Gradient evaluations of a chain."""


class Metropolis(ABC):
    """A sampler whose transitions leave the target as it is, at any step size and mass matrix.

    Subclasses are frozen dataclasses with the fields below, and define :meth:`transition`.
    """

    steps: int
    step_size: Tensor | float
    warmup: int
    target_accept: float
    mass: Kind | Mass

    @property
    def temperature(self) -> float:
        """1: the target itself."""
        return 1.0

    @abstractmethod
    def transition(self, value_and_score: ValueAndScore, point: Point, kernel: Kernel, *, rng: Rng) -> Move:
        """One transition of every chain."""

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return self._end(engine.value_and_score(log_density), x, rng)

    def path(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Iterator[State]:
        """The start, the warm-up and the steps: ``warmup + steps + 1`` states, each with the step size in use."""
        for move, kernel in self._walk(engine.value_and_score(log_density), x, rng):
            used = move.gradients
            yield State(
                x=move.point.x,
                log_density=move.point.value,
                accepted=move.accepted,
                step_size=kernel.step_size,
                acceptance=move.acceptance,
                diverged=None if move.diverged is None else move.diverged.to(move.accepted.dtype),
                gradients=used if isinstance(used, Tensor) else torch.full_like(move.accepted, used),
            )

    def record(self, log_density: LogDensity, x: Tensor, *, thin: int = 1, rng: Rng) -> Record:
        """Run the warm-up and ``steps * thin`` transitions, and keep every ``thin``-th."""
        longer = replace(self, steps=self.steps * thin)  # type: ignore[type-var]
        return record_path(longer.path(log_density, x, rng=rng), self.warmup, thin)

    def tuned(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> tuple[Metropolis, Tensor]:
        """Run the warm-up alone.

        Returns:
            The sampler without a warm-up, with the step sizes ``[b]`` and the mass matrix that were found, and where
            the b chains stand. It samples densities like this one, for as many chains.
        """
        walk = replace(self, steps=0)._walk(engine.value_and_score(log_density), x, rng)  # type: ignore[type-var]
        move, kernel = deque(walk, maxlen=1).pop()
        tuned = replace(self, warmup=0, step_size=kernel.step_size, mass=kernel.mass)  # type: ignore[type-var]
        return tuned, move.point.x

    def kernel(self) -> Kernel:
        """The kernel before any warm-up."""
        if self.warmup < 0 or self.steps < 0:
            raise InputError(f"steps and warmup must be 0 or more, got {self.steps} and {self.warmup}")
        smallest = self.step_size.min() if isinstance(self.step_size, Tensor) else self.step_size
        if not smallest > 0:
            raise InputError(f"step_size must be positive, got {float(smallest):g}")
        return Kernel(self.step_size, self.mass if isinstance(self.mass, Mass) else Mass())

    def begin(self, value_and_score: ValueAndScore, point: Point, kernel: Kernel, rng: Rng) -> WarmUp:
        """The state of the warm-up before its first transition."""
        return WarmUp(
            kernel, self.target_accept, self.warmup, self.mass, value_and_score=value_and_score, point=point, rng=rng
        )

    def _whole(self, log_density: LogDensity, x: Tensor, leapfrog: int, rng: Rng) -> Tensor:
        """Where chains end; after the warm-up in one piece, where the engine runs trajectories of fixed length so."""
        if self.warmup and self.steps:
            tuned, x = self.tuned(log_density, x, rng=rng)
            return tuned(log_density, x, rng=rng)
        (step_size, mass, _), scores = self.kernel(), engine.scores(log_density)
        if mass.scale is None and mass.factor is None and self.steps and leapfrog:
            found = scores.hmc(x, step_size, leapfrog, self.steps, rng)
            if found is not None:
                require_support(found[1])
                return found[0]
        return self._end(scores.value_and_score, x, rng)

    def _end(self, value_and_score: ValueAndScore, x: Tensor, rng: Rng) -> Tensor:
        return deque(self._walk(value_and_score, x, rng), maxlen=1).pop()[0].point.x

    def _walk(self, value_and_score: ValueAndScore, x: Tensor, rng: Rng) -> Iterator[tuple[Move, Kernel]]:
        kernel, x = self.kernel(), x.detach()
        point = Point(x, *value_and_score(x))
        require_support(point.value)
        ones = torch.ones_like(point.value)
        yield Move(point, ones, ones, None, 1), kernel
        if self.warmup:
            warm = self.begin(value_and_score, point, kernel, rng)
            seen: list[Point] = []
            for k in range(1, self.warmup + 1):
                move = self.transition(value_and_score, point, warm.kernel, rng=rng)
                point = move.point
                warm.update(move.acceptance)
                if warm.ends and k <= warm.ends[-1]:
                    seen.append(point)
                    if k in warm.ends:
                        warm.learn(torch.stack([s.x for s in seen]), torch.stack([s.score for s in seen]), point)
                        seen = []
                kernel = warm.frozen if k == self.warmup else warm.kernel
                yield move, kernel
        for _ in range(self.steps):
            move = self.transition(value_and_score, point, kernel, rng=rng)
            point = move.point
            yield move, kernel
