"""Metropolis-adjusted Langevin: a Langevin step as a proposal, accepted so that the target is exact.

Proposal x' = x + (δ²/2) ∇log p(x) + δ ε; accepted with probability min(1, p(x') q(x|x') / (p(x) q(x'|x))), where
log q(x'|x) = −‖x' − x − (δ²/2)∇log p(x)‖² / (2δ²) (Roberts and Tweedie 1996).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from absynth.distributions import sum_event
from absynth.samplers import engine
from absynth.samplers.dual_averaging import TARGET_ACCEPT, DualAveraging
from absynth.samplers.langevin import last
from absynth.seeding import noise_like, uniform_like
from absynth.types import LogDensity, Rng, State


def choose(accept: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Row by row: ``new`` where ``accept [b]`` holds, else ``old``."""
    return torch.where(accept.view(-1, *[1] * (new.ndim - 1)), new, old)


@dataclass(frozen=True)
class MALA:
    """K Metropolis-adjusted Langevin steps; the target is exact at any step size.

    Args:
        steps: K, after warm-up.
        step_size: δ, or where its adaptation begins.
        warmup: steps that adapt δ, which is frozen after them; 0 keeps it as given.
        target_accept: mean acceptance that the adaptation aims at.
    """

    steps: int
    step_size: float
    warmup: int = 0
    target_accept: float = TARGET_ACCEPT
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
            half = 0.5 * step_size**2
            noise = noise_like(x, rng).mul_(step_size)
            proposal = torch.add(x, score, alpha=half).add_(noise)
            value_new, score_new = value_and_score(proposal)
            back = torch.add(noise, score + score_new, alpha=half)  # minus x − x' − (δ²/2)∇log p(x')
            forward, backward = sum_event(noise * noise), sum_event(back * back)
            log_ratio = value_new - value + (forward - backward) / (2 * step_size**2)
            accept = uniform_like(value, rng).log() < log_ratio  # a NaN ratio compares false: the chain stays
            x, score = choose(accept, proposal, x), choose(accept, score_new, score)
            value = torch.where(accept, value_new, value)
            if k < self.warmup:
                adaptation.follow(log_ratio)
                step_size = adaptation.frozen if k == self.warmup - 1 else adaptation.step_size
            yield State(x, value, accept.to(value.dtype), step_size)

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return last(self.path(log_density, x, rng=rng))
