"""Gibbs with gradients: Metropolis for binary and categorical variables that changes the entry which matters most.

The gain ℓ(x') − ℓ(x) of every change of one entry is estimated at once from the gradient, d(x); a change is proposed
with probability proportional to exp(d / 2), the locally balanced choice, and accepted so that the target is exact.

Reference: Grathwohl, Swersky, Hashemi, Duvenaud and Maddison 2021 (arXiv:2102.04509), algorithm 1; Zanella 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from absynth.errors import InputError
from absynth.samplers import engine
from absynth.samplers.langevin import last
from absynth.samplers.metropolis import choose
from absynth.samplers.record import Record, record_path
from absynth.seeding import uniform_like
from absynth.types import LogDensity, Rng, State


@dataclass(frozen=True)
class GibbsWithGradients:
    """K transitions, each of which changes one variable of the event or none.

    Args:
        steps: K.
        variables: "binary" for entries 0 and 1, ``[b, *event]``; "categorical" for one-hot rows, ``[b, *event, k]``.
            Both as floating point, and the log density must be differentiable at them as a function of real numbers.
    """

    steps: int
    variables: Literal["binary", "categorical"] = "binary"

    def __post_init__(self) -> None:
        if self.variables not in ("binary", "categorical"):
            raise InputError(f"variables must be binary or categorical, got {self.variables}")

    @property
    def temperature(self) -> float:
        """1: the target itself."""
        return 1.0

    def path(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Iterator[State]:
        """The start and every transition after it: ``steps + 1`` states."""
        value_and_score = engine.value_and_score(log_density)
        x = x.detach()
        self._validate(x)
        value, score = value_and_score(x)
        yield State(x, value, torch.ones_like(value))
        for _ in range(self.steps):
            gains = self.gains(x, score)
            change = _choose_change(gains, rng)
            proposal = self.changed(x, change)
            value_new, score_new = value_and_score(proposal)
            forward = _log_probability(gains, change)
            backward = _log_probability(self.gains(proposal, score_new), self.undone(x, change))
            log_ratio = value_new - value + (backward - forward).to(value.dtype)
            accept = uniform_like(value, rng).log() < log_ratio
            x, score = choose(accept, proposal, x), choose(accept, score_new, score)
            value = torch.where(accept, value_new, value)
            acceptance = log_ratio.nan_to_num(-torch.inf).clamp(max=0).exp()
            yield State(x, value, accept.to(value.dtype), None, acceptance, None, torch.ones_like(value))

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return last(self.path(log_density, x, rng=rng))

    def record(self, log_density: LogDensity, x: Tensor, *, thin: int = 1, rng: Rng) -> Record:
        """Run ``steps * thin`` transitions and keep every ``thin``-th."""
        longer = replace(self, steps=self.steps * thin)
        return record_path(longer.path(log_density, x, rng=rng), 0, thin)

    def gains(self, x: Tensor, score: Tensor) -> Tensor:
        """Estimated gain of each change, ``[b, changes]``; −∞ for a category that an entry has already."""
        if self.variables == "binary":
            return ((1 - 2 * x) * score).flatten(1)
        gain = score - (x * score).sum(-1, keepdim=True)
        return gain.masked_fill(x > 0.5, -torch.inf).flatten(1)

    def changed(self, x: Tensor, change: Tensor) -> Tensor:
        """x after the change ``[b]``."""
        if self.variables == "binary":
            flip = torch.zeros_like(x).flatten(1).scatter_(1, change[:, None], 1.0).view_as(x)
            return (x - flip).abs()
        k = x.shape[-1]
        rows = x.flatten(1).view(len(x), -1, k).clone()
        entry, category = change // k, change % k
        rows[torch.arange(len(x), device=x.device), entry] = torch.nn.functional.one_hot(category, k).to(x)
        return rows.view_as(x)

    def undone(self, x: Tensor, change: Tensor) -> Tensor:
        """The number of the change that leads back to x, ``[b]``."""
        if self.variables == "binary":
            return change
        k = x.shape[-1]
        rows = x.flatten(1).view(len(x), -1, k)
        entry = change // k
        return entry * k + rows[torch.arange(len(x), device=x.device), entry].argmax(-1)

    def _validate(self, x: Tensor) -> None:
        if not x.is_floating_point():
            raise InputError(f"chains must be floating point, got {str(x.dtype)[6:]}: start from x.float()")
        if not ((x == 0) | (x == 1)).all():
            raise InputError(f"{self.variables} chains must hold 0 and 1 only, got {x[(x != 0) & (x != 1)][0]:g}")
        if self.variables == "categorical" and (x.ndim < 2 or not (x.sum(-1) == 1).all()):
            raise InputError(
                "categorical chains must hold one-hot rows along the last dimension, got other sums than 1"
            )


def _choose_change(gains: Tensor, rng: Rng) -> Tensor:
    """A change for each chain with probability softmax(gains / 2), by inversion, ``[b]``."""
    share = (0.5 * gains.double()).softmax(1).cumsum(1)
    u = uniform_like(share[:, :1], rng) * share[:, -1:]
    return torch.searchsorted(share, u, right=True)[:, 0].clamp(max=gains.shape[1] - 1)


def _log_probability(gains: Tensor, change: Tensor) -> Tensor:
    return (0.5 * gains.double()).log_softmax(1).gather(1, change[:, None])[:, 0]
