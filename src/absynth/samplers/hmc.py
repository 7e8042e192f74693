"""Hamiltonian Monte Carlo (Neal 2011), with step sizes by dual averaging (Hoffman and Gelman 2014, algorithm 5).

Momenta p ~ N(0, I), L leapfrog steps of size ε, accepted with probability min(1, exp(H − H')). During ``warmup`` every
chain finds a step size of its own and all together a mass matrix; then both are frozen, so the ``steps`` that count
leave the target exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absynth.distributions import sum_event
from absynth.samplers.mass import Kind, Mass
from absynth.samplers.metropolis import DIVERGED, Metropolis, Move, choose
from absynth.samplers.warmup import Kernel, Point, ValueAndScore, per_row
from absynth.seeding import noise_like, uniform_like
from absynth.types import LogDensity, Rng


@dataclass(frozen=True)
class HMC(Metropolis):
    """Hamiltonian Monte Carlo with trajectories of one length.

    Args:
        steps: transitions after warm-up.
        step_size: leapfrog step ε, or where its adaptation begins. One number, or one a chain.
        leapfrog_steps: L.
        warmup: transitions that adapt each chain's ε and, if there are 40 or more, the mass matrix; 0 keeps both as
            given.
        target_accept: mean acceptance that the adaptation aims at.
        mass: which mass matrix the warm-up learns, or one that is given and stays.
    """

    steps: int
    step_size: Tensor | float
    leapfrog_steps: int = 10
    warmup: int = 0
    target_accept: float = 0.8
    mass: Kind | Mass = "auto"

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return self._whole(log_density, x, self.leapfrog_steps, rng)

    def transition(self, value_and_score: ValueAndScore, point: Point, kernel: Kernel, *, rng: Rng) -> Move:
        x, value, score = point
        step, mass = per_row(kernel.step_size, x), kernel.mass
        momentum = noise_like(x, rng)
        kinetic = 0.5 * sum_event(momentum**2)
        y, value_new, score_new = x, value, score
        for _ in range(self.leapfrog_steps):
            momentum = momentum + 0.5 * step * mass.pull(score_new)
            y = y + step * mass.push(momentum)
            value_new, score_new = value_and_score(y)
            momentum = momentum + 0.5 * step * mass.pull(score_new)
        log_ratio = (value_new - 0.5 * sum_event(momentum**2)) - (value - kinetic)
        accept = uniform_like(value, rng).log() < log_ratio
        new = Point(choose(accept, y, x), torch.where(accept, value_new, value), choose(accept, score_new, score))
        acceptance = log_ratio.nan_to_num(-torch.inf).clamp(max=0).exp()
        return Move(new, accept.to(value.dtype), acceptance, ~(log_ratio > DIVERGED), self.leapfrog_steps)
