"""Hamiltonian Monte Carlo with a step size found by dual averaging (Neal 2011; Hoffman and Gelman 2014, algorithm 5).

Momenta r ~ N(0, I), L leapfrog steps of size ε, accepted with probability min(1, exp(H − H')). During ``warmup`` the
step size follows the mean acceptance over the b chains towards ``target_accept``; after it the size is frozen, so the
``steps`` that count leave the target exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from absynth.distributions import sum_event
from absynth.samplers import engine
from absynth.samplers.langevin import last
from absynth.samplers.mala import choose
from absynth.seeding import noise_like, uniform_like
from absynth.types import LogDensity, Rng, State


class DualAveraging:
    """Hoffman and Gelman 2014, eq. (6), with their constants."""

    def __init__(self, step_size: float, target_accept: float) -> None:
        self.log_step = math.log(step_size)
        self.log_average = 0.0
        self.mu = math.log(10 * step_size)
        self.target = target_accept
        self.error = 0.0
        self.count = 0

    def update(self, accept_probability: float) -> None:
        """One step towards the target."""
        self.count += 1
        t, t0, gamma, kappa = self.count, 10, 0.05, 0.75
        self.error += ((self.target - accept_probability) - self.error) / (t + t0)
        self.log_step = self.mu - math.sqrt(t) / gamma * self.error
        weight = t**-kappa
        self.log_average = weight * self.log_step + (1 - weight) * self.log_average


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
                adaptation.update(float(log_ratio.nan_to_num(-math.inf).clamp(max=0).exp().mean()))
                finished = k == self.warmup - 1
                step_size = math.exp(adaptation.log_average if finished else adaptation.log_step)
            yield State(x, value, accept.to(value.dtype), step_size)

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return last(self.path(log_density, x, rng=rng))
