"""Parallel tempering: chains at several temperatures that exchange their states, so that cold ones cross barriers.

Rung k samples p(x)^β_k, 1 = β_0 > β_1 > … ; after each run of the inner sampler neighbours k, k + 1 exchange states
with probability min(1, exp((β_k − β_{k+1}) (ℓ(x_{k+1}) − ℓ(x_k)))), which leaves the product of the rungs' laws as it
is. Even and odd pairs take turns, which carries states from the hottest chain to the coldest sooner than random pairs.

Reference: Geyer 1991; Syed, Bouchard-Côté, Deligiannidis and Doucet 2022 for the turns and the temperatures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError
from absynth.samplers.engine import checked
from absynth.samplers.langevin import last
from absynth.samplers.metropolis import Metropolis
from absynth.samplers.record import Record, record_path
from absynth.seeding import Streams, uniform_like
from absynth.types import LogDensity, Rng, Sampler, State


@dataclass(frozen=True)
class Tempering:
    """Any sampler at several temperatures, with exchanges.

    Exact where the inner sampler is. What it returns are the states of the coldest rung, whose law is the target. All
    rungs run in one batch, so the log density must take any number of rows.

    Args:
        steps: rounds after the warm-up; a round is one call of the inner sampler on all rungs and one exchange.
        sampler: what moves the chains. It runs in coordinates √β x, so its step size is 1/√β as long on rung β.
        betas: inverse temperatures from 1 downwards. The last one should be so hot that chains cross all barriers, and
            the law at it must still be normalizable.
        warmup: rounds that adapt. In the first half the inner sampler adapts without exchanges, where it can; in the
            second half the temperatures do, so that all exchanges become equally probable.
    """

    steps: int
    sampler: Sampler
    betas: tuple[float, ...] = (1.0, 0.6, 0.37, 0.22, 0.14, 0.082, 0.05, 0.03)
    warmup: int = 0

    def __post_init__(self) -> None:
        if len(self.betas) < 2 or self.betas[0] != 1 or not all(a > b > 0 for a, b in pairwise(self.betas)):
            raise InputError(f"betas must fall from 1 and stay positive, got {self.betas}: for instance (1, 0.5, 0.2)")
        if self.steps < 0 or self.warmup < 0:
            raise InputError(f"steps and warmup must be 0 or more, got {self.steps} and {self.warmup}")

    @property
    def temperature(self) -> float:
        """1: what is returned are the states of the coldest rung."""
        return 1.0

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return last(self.path(log_density, x, rng=rng))

    def path(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Iterator[State]:
        """The start and the coldest rung after each round: ``warmup + steps + 1`` states.

        While the inner sampler adapts, the returned states rest.
        """
        if isinstance(rng, Streams):
            raise InputError("tempering runs more rows than chains, got one stream a row: give a torch.Generator")
        value, betas, x = checked(log_density), list(self.betas), x.detach()
        yield _state(x, x, value)
        rungs, sampler = x.expand(len(betas), *x.shape), self.sampler
        tuning = self.warmup // 2
        if tuning and isinstance(sampler, Metropolis):
            y, density = _cooled(rungs, betas), at_temperatures(log_density, betas, len(x))
            sampler, y = replace(sampler, warmup=tuning).tuned(density, y, rng=rng)  # type: ignore[type-var]
            rungs = _warmed(y, betas)
        for _ in range(tuning):
            yield _state(rungs[0], rungs[0], value)
        spacing = self.warmup - tuning
        ends = sorted({spacing // 4, spacing // 2, spacing} - {0})
        seen: list[Tensor] = []
        for k in range(spacing + self.steps):
            before = rungs[0]
            y = sampler(at_temperatures(log_density, betas, len(x)), _cooled(rungs, betas), rng=rng)
            rungs, rejection = exchange(value, _warmed(y, betas), betas, k % 2, rng=rng)
            if k < spacing:
                seen.append(rejection)
                if k + 1 in ends:
                    betas, seen = respaced(betas, torch.stack(seen).nanmean(0).nan_to_num(1.0)), []
            yield _state(rungs[0], before, value)

    def record(self, log_density: LogDensity, x: Tensor, *, thin: int = 1, rng: Rng) -> Record:
        """Run the warm-up and ``steps * thin`` rounds, and keep every ``thin``-th."""
        longer = replace(self, steps=self.steps * thin)
        return record_path(longer.path(log_density, x, rng=rng), self.warmup, thin)


def at_temperatures(log_density: LogDensity, betas: Sequence[float], chains: int) -> LogDensity:
    """y ↦ β log density(y / √β) for rows ``[rungs * chains]``, those of the first rung first."""
    each = torch.tensor(betas, dtype=torch.float64).repeat_interleave(chains)

    def density(y: Tensor) -> Tensor:
        beta = each.to(y)
        return beta * log_density(y * beta.rsqrt().view(-1, *[1] * (y.ndim - 1)))

    return density


def exchange(
    log_density: LogDensity, rungs: Tensor, betas: Sequence[float], parity: int, *, rng: Rng
) -> tuple[Tensor, Float[Tensor, "pairs"]]:
    """Exchange the states of the pairs (k, k + 1) with k even (``parity`` 0) or odd (1), each chain on its own.

    Args:
        log_density: of the target.
        rungs: states, ``[rungs, chains, *event]``.
        betas: inverse temperatures of the rungs.
        parity: 0 or 1.
        rng: source of randomness.

    Returns:
        The rungs, and each pair's mean probability to stay; NaN for pairs whose turn it was not.
    """
    with torch.no_grad():
        value = log_density(rungs.flatten(0, 1)).view(rungs.shape[:2])
    beta = torch.tensor(betas, dtype=value.dtype, device=value.device)[:, None]
    log_ratio = (beta[:-1] - beta[1:]) * (value[1:] - value[:-1])
    turn = torch.arange(len(log_ratio), device=value.device)[:, None] % 2 == parity
    swap = (uniform_like(log_ratio, rng).log() < log_ratio) & turn  # a NaN ratio compares false: the states stay
    order = torch.arange(len(betas), device=value.device)[:, None].repeat(1, rungs.shape[1])
    order[:-1] += swap.long()
    order[1:] -= swap.long()
    chain = torch.arange(rungs.shape[1], device=value.device)
    rejection = 1 - log_ratio.nan_to_num(-math.inf).clamp(max=0).exp().mean(1).double()
    return rungs[order, chain], torch.where(turn[:, 0], rejection, math.nan).cpu()


def respaced(betas: Sequence[float], rejection: Float[Tensor, "pairs"]) -> list[float]:
    """Inverse temperatures with the same first and last β, at which all pairs would reject equally often.

    Rejections of neighbours add up (Syed et al. 2022, section 4), so their running sum is cut evenly,
    by linear interpolation in log β.

    >>> [round(b, 3) for b in respaced([1.0, 0.5, 0.25], torch.tensor([0.1, 0.3]).double())]
    [1.0, 0.397, 0.25]
    """
    barrier = np.concatenate([[0.0], rejection.clamp(min=1e-3).cumsum(0).numpy()])
    even = np.linspace(0, barrier[-1], len(betas))
    inside = np.exp(np.interp(even[1:-1], barrier, np.log(betas)))
    return [betas[0], *inside.tolist(), betas[-1]]


def _factor(rungs: Tensor, betas: Sequence[float]) -> Tensor:
    return torch.tensor(betas, dtype=torch.float64).sqrt().to(rungs).view(-1, *[1] * (rungs.ndim - 1))


def _cooled(rungs: Tensor, betas: Sequence[float]) -> Tensor:
    """√β x in one batch, ``[rungs, chains, *event] -> [rungs * chains, *event]``."""
    return (rungs * _factor(rungs, betas)).flatten(0, 1)


def _warmed(y: Tensor, betas: Sequence[float]) -> Tensor:
    rungs = y.unflatten(0, (len(betas), -1))
    return rungs / _factor(rungs, betas)


def _state(x: Tensor, before: Tensor, log_density: LogDensity) -> State:
    with torch.no_grad():
        value = log_density(x)
    return State(x, value, (x != before).flatten(1).any(1).to(value.dtype))
