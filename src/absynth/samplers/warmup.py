"""Warm-up: step sizes and a mass matrix from transitions that do not count.

What adapts samples no law, so everything found here is frozen before the transitions that count. Mass matrices are
learned in windows that double, each from its own states alone, and the last part of the warm-up tunes step sizes only
(Carpenter et al. 2017, Stan's schedule, but with windows from the beginning, because scores are used too).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from absynth.distributions import sum_event
from absynth.samplers.dual_averaging import DualAveraging
from absynth.samplers.mass import Kind, Mass, learn, resolve
from absynth.seeding import noise_like
from absynth.types import Rng

ValueAndScore = Callable[[Tensor], tuple[Tensor, Tensor]]


class Kernel(NamedTuple):
    """What a transition needs to know besides the density."""

    step_size: Tensor | float
    """One number, or ``[b]``."""
    mass: Mass = Mass()
    window: int | None = None
    """Number of the warm-up's window, while the mass matrix is being learned."""


class Point(NamedTuple):
    """Where b chains stand."""

    x: Tensor
    value: Tensor
    """Log density, ``[b]``."""
    score: Tensor
    """Its gradient, shaped like x."""


def per_row(step_size: Tensor | float, x: Tensor) -> Tensor | float:
    """The step size, ready to multiply ``x [b, *event]``."""
    if not isinstance(step_size, Tensor):
        return step_size
    return step_size.to(x).view(-1, *[1] * (x.ndim - 1))


def windows(warmup: int) -> list[int]:
    """Where windows end, each a number of transitions: 10, then doubling; none where the warm-up is too short.

    >>> windows(1000), windows(100), windows(30)
    ([10, 20, 40, 80, 160, 320, 900], [10, 20, 50], [])
    """
    if warmup < 40:
        return []
    end = warmup - max(warmup // 10, min(50, warmup // 2))
    ends, size = [0], 10
    while ends[-1] < end:
        following = 2 * size if len(ends) > 1 else size
        ends.append(end if ends[-1] + size + following > end else ends[-1] + size)
        size = following
    return ends[1:]


class WarmUp:
    """The state of an adaptation of b chains.

    Args:
        kernel: where the search for a step size begins, and the first mass matrix.
        target_accept: mean acceptance probability to reach.
        steps: transitions of the warm-up.
        mass: which mass matrix to learn; one that is given stays.
        value_and_score: of the target.
        point: where the chains stand.
        rng: draws momenta to try step sizes with.
    """

    def __init__(
        self,
        kernel: Kernel,
        target_accept: float,
        steps: int,
        mass: Kind | Mass,
        *,
        value_and_score: ValueAndScore,
        point: Point,
        rng: Rng,
    ) -> None:
        self.kind = "unit" if isinstance(mass, Mass) else resolve(mass, point.x)
        self.ends = [] if self.kind == "unit" else windows(steps)
        self.target = target_accept
        self.value_and_score, self.rng = value_and_score, rng
        self.mass = kernel.mass
        self.window = 0
        self._tune(kernel.step_size, point)

    @property
    def kernel(self) -> Kernel:
        """What the next transition of the warm-up uses."""
        return Kernel(self.averaging.step_size, self.mass, self.window if self.ends else None)

    @property
    def frozen(self) -> Kernel:
        """What the transitions after the warm-up use.

        Where a mass matrix was learned, chains share one target, and the median of their step sizes is the best guess
        for each. A chain whose own is far below it keeps its own, so that none is stuck.
        """
        step_size = self.averaging.frozen
        if self.ends:
            median = step_size.median()
            step_size = torch.where(step_size < median / 3, step_size, median)
        return Kernel(step_size, self.mass)

    def update(self, acceptance: Tensor, rows: Tensor | None = None) -> None:
        """Adapt the step sizes after a transition of the chains ``rows``; None means all."""
        self.averaging.update(acceptance, rows)

    def learn(self, x: Tensor, score: Tensor, point: Point) -> None:
        """End a window: learn the mass from its states ``[draw, b, *event]``, and tune step sizes anew."""
        self.mass = learn(self.kind, x, score)
        self.window += 1
        self._tune(1.0, point)

    def _tune(self, step_size: Tensor | float, point: Point) -> None:
        first = reasonable_step_size(step_size, self.mass, self.value_and_score, point, rng=self.rng)
        self.averaging = DualAveraging(first, self.target)


def reasonable_step_size(
    step_size: Tensor | float, mass: Mass, value_and_score: ValueAndScore, point: Point, *, rng: Rng
) -> Tensor:
    """Double or halve each chain's step size until the acceptance of one leapfrog step crosses 0.8.

    Reference: Hoffman and Gelman 2014, algorithm 4.
    """
    x, value, score = point
    size = torch.as_tensor(step_size, dtype=torch.float64, device=x.device).expand(len(x)).clone()
    momentum = noise_like(x, rng)
    busy, direction = torch.ones(len(x), dtype=torch.bool, device=x.device), torch.zeros_like(size)
    for _ in range(60):
        step = per_row(size, x)
        p = momentum + 0.5 * step * mass.pull(score)
        value_new, score_new = value_and_score(x + step * mass.push(p))
        p = p + 0.5 * step * mass.pull(score_new)
        log_ratio = (value_new - 0.5 * sum_event(p**2)) - (value - 0.5 * sum_event(momentum**2))
        good = log_ratio.nan_to_num(-torch.inf, -torch.inf) > -0.223
        wanted = torch.where(good, 1.0, -1.0).to(size)
        busy &= (direction == 0) | (wanted == direction)
        # A chain that was halving stops at the first good size; one that was doubling stops at the first bad one.
        direction = torch.where(direction == 0, wanted, direction)
        size = torch.where(busy, size * 2.0**direction, size)
        if not busy.any():
            break
    return size.clamp(1e-12, 1e6)
