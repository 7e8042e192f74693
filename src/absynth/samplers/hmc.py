"""Hamiltonian Monte Carlo with a step size found by dual averaging (Neal 2011; Hoffman and Gelman 2014, algorithm 5).

Momenta r ~ N(0, I), L leapfrog steps of size ε, accepted with probability min(1, exp(H − H')). During ``warmup`` the
step size follows the mean acceptance over the b chains towards ``target_accept``; after it the size is frozen, so the
``steps`` that count leave the target exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from absynth.distributions import sum_event
from absynth.samplers import engine
from absynth.samplers.dual_averaging import DualAveraging
from absynth.samplers.langevin import last
from absynth.samplers.mala import choose
from absynth.seeding import noise_like, uniform_like
from absynth.types import LogDensity, Rng, State


@dataclass(frozen=True)
class HMC:
    """Hamiltonian Monte Carlo.

    Args:
        steps: transitions after warm-up.
        step_size: leapfrog step ε, or where its adaptation begins.
        leapfrog_steps: L.
        warmup: transitions that adapt ε; 0 keeps it as given.
        target_accept: mean acceptance that the adaptation aims at.
    """

    steps: int
    step_size: float
    leapfrog_steps: int = 10
    warmup: int = 0
    target_accept: float = 0.8
    temperature = 1.0

    def path(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Iterator[State]:
        """The start, the warm-up and the steps: ``warmup + steps + 1`` states, each with the step size in use."""
        value_and_score = engine.value_and_score(log_density)
        adaptation = DualAveraging(self.step_size, self.target_accept)
        step_size = self.step_size
        x = x.detach()
        value, score = value_and_score(x)
        yield State(x, value, torch.ones_like(value), step_size)
        for k in range(self.warmup + self.steps):
            momentum = noise_like(x, rng)
            kinetic = 0.5 * sum_event(momentum**2)
            y, value_new, score_new = x, value, score
            for _ in range(self.leapfrog_steps):
                momentum = momentum + 0.5 * step_size * score_new
                y = y + step_size * momentum
                value_new, score_new = value_and_score(y)
                momentum = momentum + 0.5 * step_size * score_new
            log_ratio = (value_new - 0.5 * sum_event(momentum**2)) - (value - kinetic)
            accept = uniform_like(value, rng).log() < log_ratio
            x, score = choose(accept, y, x), choose(accept, score_new, score)
            value = torch.where(accept, value_new, value)
            if k < self.warmup:
                adaptation.follow(log_ratio)
                step_size = adaptation.frozen if k == self.warmup - 1 else adaptation.step_size
            yield State(x, value, accept.to(value.dtype), step_size)

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return last(self.path(log_density, x, rng=rng))
