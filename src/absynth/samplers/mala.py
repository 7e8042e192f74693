"""Metropolis-adjusted Langevin: a Langevin step as a proposal, accepted so that the target is exact.

Proposal x' = x + (δ²/2) ∇log p(x) + δ ε; accepted with probability min(1, p(x') q(x|x') / (p(x) q(x'|x))), where
log q(x'|x) = −‖x' − x − (δ²/2)∇log p(x)‖² / (2δ²) (Roberts and Tweedie 1996). With a mass matrix it is this step in
coordinates y, x = L y (:mod:`absynth.samplers.mass`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absynth.distributions import sum_event
from absynth.samplers.dual_averaging import TARGET_ACCEPT
from absynth.samplers.mass import Kind, Mass
from absynth.samplers.metropolis import Metropolis, Move, choose
from absynth.samplers.warmup import Kernel, Point, ValueAndScore, per_row
from absynth.seeding import noise_like, uniform_like
from absynth.types import LogDensity, Rng


@dataclass(frozen=True)
class MALA(Metropolis):
    """K Metropolis-adjusted Langevin steps; the target is exact at any step size.

    Args:
        steps: K, after warm-up.
        step_size: δ, or where its adaptation begins. One number, or one a chain.
        warmup: steps that adapt each chain's δ and, if there are 40 or more, the mass matrix; 0 keeps both as given.
        target_accept: mean acceptance that the adaptation aims at.
        mass: which mass matrix the warm-up learns, or one that is given and stays.
    """

    steps: int
    step_size: Tensor | float
    warmup: int = 0
    target_accept: float = TARGET_ACCEPT
    mass: Kind | Mass = "auto"

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return self._whole(log_density, x, 1, rng)  # one leapfrog step of HMC makes this proposal and this test

    def transition(self, value_and_score: ValueAndScore, point: Point, kernel: Kernel, *, rng: Rng) -> Move:
        x, value, score = point
        step, mass = per_row(kernel.step_size, x), kernel.mass
        noise = noise_like(x, rng)
        velocity = mass.push(_plus(noise, 0.5 * step, mass.pull(score)))
        proposal = _plus(x, step, velocity, out=velocity)
        value_new, score_new = value_and_score(proposal)
        both = mass.pull(score + score_new)
        # log q(x|x') − log q(x'|x) = −(δ/2) ⟨s + s', ε + (δ/4)(s + s')⟩ in the coordinates y. The difference of squares
        # would take twice as many passes over the states, and lose digits.
        product = sum_event(_plus(noise, 0.25 * step, both, out=noise).mul_(both))
        log_ratio = _plus(value_new - value, -0.5 * per_row(kernel.step_size, value), product)
        accept = uniform_like(value, rng).log() < log_ratio  # a NaN ratio compares false: the chain stays
        new = Point(
            choose(accept, proposal, x), torch.where(accept, value_new, value), choose(accept, score_new, score)
        )
        return Move(new, accept.to(value.dtype), log_ratio.nan_to_num(-torch.inf).clamp(max=0).exp())


def _plus(a: Tensor, factor: Tensor | float, b: Tensor, out: Tensor | None = None) -> Tensor:
    """a + factor · b, in one pass; into memory that is at hand, which a small chain's caches notice."""
    if isinstance(factor, Tensor):
        return torch.addcmul(a, factor, b, out=out)
    return torch.add(a, b, alpha=factor, out=out)
