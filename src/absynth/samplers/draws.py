"""Draws from any density, with a verdict on the chains.

Two modes that a local sampler does not cross: each mode looks right, and the mean of |x| is what it should be.

>>> import torch, absynth as ab
>>> def log_density(x):                                       # two modes, up to a constant
...     return torch.logaddexp(-8 * ((x - 1.5) ** 2).sum(1), -8 * ((x + 1.5) ** 2).sum(1))
>>> start = ab.StandardNormal(2)
>>> local = ab.draw(log_density, start, ab.MALA(steps=1, step_size=0.5), draws=500, chains=8, rng=ab.stream(seed=1))
>>> local.x.abs().mean((0, 1)).round(decimals=1)
tensor([1.5000, 1.5000])

The chains themselves say that this is not the law:

>>> print(local.warning)
R-hat 1.65 > 1.01: chains disagree; effective sample size 13 < 400; run longer, or cross modes with Tempering

Chains at higher temperatures cross, and exchange their states with the one that counts: the same call with
``ab.Tempering(steps=1, sampler=ab.HMC(steps=2, step_size=0.2, leapfrog_steps=4))`` has no warning.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import Module

from absynth.errors import InputError
from absynth.samplers.adapted import Adapted
from absynth.samplers.annealed import AnnealedLangevin
from absynth.samplers.diagnostics import effective_sample_size
from absynth.samplers.engine import value_and_score
from absynth.samplers.gibbs import GibbsWithGradients
from absynth.samplers.langevin import Langevin
from absynth.samplers.metropolis import Metropolis
from absynth.samplers.nuts import NUTS
from absynth.samplers.record import Record
from absynth.samplers.summary import ChainSummary, summarize_chains
from absynth.samplers.tempering import Tempering
from absynth.samplers.underdamped import Underdamped
from absynth.samplers.wrapped import Wrapped
from absynth.seeding import Streams
from absynth.types import LogDensity, Reference, Rng, Sampler

CHAINS = 32
"""Chains from a start that is a distribution: they run at once, so many cost little more than one."""


class ChainWarning(UserWarning):
    """Draws that should not be trusted as they are."""


@dataclass(frozen=True, repr=False)
class Draws:
    """Kept draws of several chains and what is known about them.

    Args:
        x: ``[chains, draws, *event]``.
        log_density: of each draw up to a constant, ``[chains, draws]``; None where the sampler does not compute it.
        acceptance: mean acceptance probability of each chain, ``[chains]``; for a sampler without one the share of
            draws that differ from the last.
        divergences: transitions of each chain that were given up because of their energy error, ``[chains]``.
        step_size: of each chain, ``[chains]``, after the warm-up; None for a sampler without one.
        gradients: gradient evaluations of each chain after the warm-up, ``[chains]``; 0 where the sampler does not
            count.
        warm_gradients: those of the warm-up.
        summary: effective sample sizes and R-hat.
        bias: of a sampler without a Metropolis test: the entry of E[(x − E x) ∂log p / ∂x] / temperature that is
            farthest from −1, its value for every smooth law, where it is off by more than 0.1 and by more than 5
            standard errors; on a Gaussian it is minus the ratio of the draws' variance to the law's. Otherwise None.
    """

    x: Tensor
    log_density: Tensor | None
    acceptance: Tensor
    divergences: Tensor
    step_size: Tensor | None
    gradients: Tensor
    warm_gradients: Tensor
    summary: ChainSummary
    bias: float | None = None

    @property
    def ess_bulk(self) -> Tensor:
        """Effective sample size for the middle of the law, ``[*event]``."""
        return self.summary.ess_bulk

    @property
    def ess_tail(self) -> Tensor:
        """Effective sample size for the 5 % and 95 % quantiles, ``[*event]``."""
        return self.summary.ess_tail

    @property
    def rhat(self) -> Tensor:
        """Rank-normalized split R-hat, ``[*event]``."""
        return self.summary.rhat

    @property
    def stuck(self) -> Tensor:
        """Chains that never moved, bool ``[chains]``."""
        return self.summary.stuck

    @property
    def mean(self) -> Tensor:
        """Over all draws, ``[*event]``."""
        return self.x.flatten(0, 1).mean(0)

    @property
    def std(self) -> Tensor:
        """Over all draws, ``[*event]``."""
        return self.x.flatten(0, 1).std(0)

    @property
    def warning(self) -> str:
        """What is wrong and what to do, in one line; "" for good draws."""
        troubles, advice = list(self.summary.troubles), []
        n = int(self.divergences.sum())
        if n:
            total = self.x.shape[0] * self.x.shape[1]
            troubles.append(f"{n} divergent transitions in {total} draws")
            advice.append("raise target_accept or reparametrize, a bounded variable by its log or logit")
        if self.log_density is not None:
            found, cure = _trouble_of_values(self.log_density)
            troubles += found
            advice += cure
        if self.bias is not None:
            troubles.append(f"E[(x - mean) score] is {self.bias:.2f} where the law has -1: the step biases the draws")
            advice.append("shorten the step, or use MALA")
        return "; ".join([*troubles, *advice, *self.summary.advice])

    def __repr__(self) -> str:
        figures = self.summary.figures
        chains, draws, *event = self.x.shape
        good = f"R-hat {figures['largest R-hat']:.3f}, bulk ESS {figures['smallest bulk ESS']:.0f}"
        text = f"Draws({chains} chains, {draws} draws, event {event}, {good}, acceptance {self.acceptance.mean():.2f}"
        return f"{text}, warning: {self.warning})" if self.warning else f"{text})"

    def to_arviz(self, name: str = "x") -> Any:
        """An ``arviz.InferenceData`` with the draws under ``name``, and the sample statistics.

        Raises:
            InputError: ArviZ is not installed.
        """
        try:
            import arviz
        except ImportError:
            raise InputError("to_arviz needs ArviZ, which is not installed: pip install 'arviz<1'") from None
        stats = {} if self.log_density is None else {"lp": self.log_density.cpu().numpy()}
        return arviz.from_dict(posterior={name: self.x.cpu().numpy()}, sample_stats=stats or None)


def draw(
    log_density: LogDensity,
    start: Tensor | Reference | Distribution,
    sampler: Sampler | None = None,
    *,
    draws: int = 1000,
    warmup: int | None = None,
    chains: int | None = None,
    rng: Rng,
) -> Draws:
    """Run chains and judge them.

    Args:
        log_density: ``x [b, *event] -> [b]``, up to a constant; ``b`` chains run at once.
        start: first states ``[chains, *event]``, or what they are drawn from: a reference with ``sample(n, rng)`` or a
            ``torch.distributions`` object. States drawn outside the support are drawn again. A log density of −inf or
            NaN counts as outside.
        sampler: what moves the chains; one draw is ``steps`` of its steps. None is :class:`NUTS`.
        draws: kept draws of each chain, at least 4.
        warmup: draws before them, which adapt step sizes and mass matrix where the sampler can, and are dropped. None
            is the sampler's own warm-up, or 1000 where it has none.
        chains: how many, for a start that is a distribution. Defaults to 32.
        rng: source of randomness.

    Returns:
        The draws, with effective sample sizes, R-hat, acceptance and divergences. Where these are bad
        :attr:`Draws.warning` says so in one line, which is also issued as a :class:`ChainWarning`.

    Raises:
        InputError: the start is outside the support or has no finite gradient, the density returns another shape,
            depends on other chains or changes between calls, or an argument is of another type or out of range.
    """
    _validate(log_density, start, sampler, rng, draws=(draws, 4), warmup=(warmup, 0), chains=(chains, 1))
    x = _first_states(log_density, start, chains, rng)
    _validate_rows(log_density, x)
    record = _record(NUTS(1) if sampler is None else sampler, log_density, x, draws, warmup, rng)
    kept = record.x.movedim(0, 1)
    _validate_rows(log_density, record.x[-1])  # chains that start together have parted
    moved = (kept[:, 1:] != kept[:, :-1])[..., None].flatten(2).any(2)
    result = Draws(
        x=kept,
        log_density=None if record.value is None else record.value.T,
        acceptance=moved.to(kept.dtype).mean(1) if record.acceptance is None else record.acceptance.mean(0),
        divergences=record.diverged.sum(0),
        step_size=record.step_size,
        gradients=record.gradients.sum(0),
        warm_gradients=record.warm_gradients,
        summary=summarize_chains(kept),
        bias=_bias(sampler, log_density, record.x),
    )
    if result.warning:
        warnings.warn(result.warning, ChainWarning, stacklevel=2)
    return result


def _validate(log_density: Any, start: Any, sampler: Any, rng: Any, **numbers: tuple[Any, int]) -> None:
    """Raise an InputError for arguments of another type, or below the least value of ``name=(number, least)``."""
    for name, (number, least) in numbers.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, Integral)):
            raise InputError(f"{name} must be a whole number, got {number!r}: give an int, for instance 1000")
        if number is not None and number < least:
            raise InputError(f"{name} must be at least {least}, got {number}")
    if not isinstance(start, Tensor) and not hasattr(start, "sample"):
        raise InputError(
            f"start must be a tensor [chains, *event] or have a method sample, got {type(start).__name__}: give "
            "torch.as_tensor(start), or absynth.StandardNormal(...)"
        )
    silent = isinstance(log_density, Module) and type(log_density).forward is Module.forward
    if silent or not callable(log_density):
        kind = type(log_density).__name__
        cure = ": give its log_prob" if hasattr(log_density, "log_prob") else ""
        raise InputError(f"log_density must be a function x [b, *event] -> [b], got {kind}{cure}")
    if sampler is not None and (isinstance(sampler, type) or not callable(sampler)):
        shown = sampler.__name__ if isinstance(sampler, type) else repr(sampler)
        raise InputError(f"sampler must be a sampler with its numbers, got {shown}: for instance absynth.NUTS(1)")
    if not isinstance(rng, torch.Generator | Streams):
        raise InputError(f"rng must be a torch.Generator, got {rng!r}: give absynth.stream(seed=0)")


def _validate_rows(log_density: LogDensity, x: Tensor) -> None:
    """Raise an InputError unless the first chain's value is the same again, and with other chains beside it."""
    alone = x[:1].repeat(len(x), *[1] * (x.ndim - 1))  # laid out like x, so that sums round alike
    with torch.no_grad():
        values = [log_density(y)[0].double() for y in (x, x, alone)]
    tolerance = torch.finfo(x.dtype).eps ** 0.5 * (1 + values[0].abs())
    for other, what in zip(values[1:], ("change from call to call", "depend on the other chains")):
        if (other - values[0]).abs() > tolerance:
            raise InputError(
                f"the log density must be a function of each chain's own x, got values that {what} "
                f"({float(values[0]):.6g}, then {float(other):.6g}): use no noise, dropout or statistics of the batch"
            )


def _trouble_of_values(value: Tensor) -> tuple[list[str], list[str]]:
    """What the log densities of the draws tell, and what to do about it."""
    if value.isposinf().any():
        return ["the log density is +inf in some draws"], ["make it finite wherever it is not −inf"]
    largest = float(value.abs().nan_to_num(0.0, 0.0).max())
    rounding = torch.finfo(value.dtype).eps * largest
    if rounding > 0.25:  # the Metropolis test sees the density times exp(rounding error)
        name = str(value.dtype)[6:]
        return [f"log densities of size {largest:.2g} are rounded to {rounding:.2g} in {name}"], [
            "subtract a constant from the log density, or start in float64"
        ]
    return [], []


def _bias(sampler: Sampler | None, log_density: LogDensity, x: Tensor) -> float | None:
    """:attr:`Draws.bias` of draws ``[draws, chains, *event]``, from at most 200 of them."""
    while isinstance(sampler, Wrapped):
        sampler = sampler.sampler
    if not isinstance(sampler, Langevin | AnnealedLangevin | Underdamped) or not sampler.temperature:
        return None
    some = x[:: -(-len(x) // 200)]
    gradient = value_and_score(log_density)
    scores = torch.stack([gradient(states)[1] for states in some])
    products = ((some - x.mean((0, 1))) * scores / sampler.temperature).movedim(0, 1)
    if not products.isfinite().all():
        return None
    error = products.std((0, 1)) / effective_sample_size(products).sqrt()
    off = products.mean((0, 1)) + 1
    sure = (off.abs() > 0.1) & (off.abs() > 5 * error)  # false where an entry never varies: its error is NaN
    return float(off[sure][off[sure].abs().argmax()]) - 1 if sure.any() else None


def _record(sampler: Sampler, log_density: LogDensity, x: Tensor, draws: int, warmup: int | None, rng: Rng) -> Record:
    if isinstance(sampler, Metropolis | Tempering):
        thin = max(1, sampler.steps)
        warm = (sampler.warmup or 1000 * thin) if warmup is None else warmup * thin
        return replace(sampler, steps=draws, warmup=warm).record(log_density, x, thin=thin, rng=rng)
    warm = 1000 if warmup is None else warmup
    if isinstance(sampler, Adapted):
        sampler, x = sampler.frozen(log_density, x, rng=rng)
    elif isinstance(sampler, GibbsWithGradients):
        thin = max(1, sampler.steps)
        longer = replace(sampler, steps=warm + draws).record(log_density, x, thin=thin, rng=rng)
        used = longer.gradients[:warm].sum(0)
        cut = {name: getattr(longer, name)[warm:] for name in ("x", "value", "acceptance", "diverged", "gradients")}
        return replace(longer, **cut, warm_gradients=used)
    states = []
    for k in range(warm + draws):
        x = sampler(log_density, x, rng=rng)
        if k >= warm:
            states.append(x)
    none = torch.zeros(draws, len(x), dtype=torch.long, device=x.device)
    return Record(torch.stack(states), None, None, none, none, None, none[0])


def _first_states(
    log_density: LogDensity, start: Tensor | Reference | Distribution, chains: int | None, rng: Rng
) -> Tensor:
    """States inside the support, ``[chains, *event]``."""
    gradient = value_and_score(log_density)
    if isinstance(start, Tensor):
        if start.ndim < 2 or start.numel() < 1:
            raise InputError(
                f"start must have shape [chains, *event] and entries, got {list(start.shape)}: one row a chain"
            )
        if chains is not None and chains != len(start):
            n = len(start)
            raise InputError(f"start has {n} rows and chains is {chains}: leave chains out, or give {n}")
        x = start.detach()
        usable = _usable(gradient, x)
    else:
        n = CHAINS if chains is None else chains
        x = _sample(start, n, rng)
        usable = _usable(gradient, x)
        for _ in range(100):
            if usable.all():
                break
            again = _sample(start, n, rng)
            x = torch.where(usable.view(-1, *[1] * (x.ndim - 1)), x, again)
            usable = _usable(gradient, x)
    if not usable.all():
        first = int((~usable).nonzero()[0])
        with torch.no_grad():
            value = float(log_density(x)[first])
        got = f"a gradient that is not (at log density {value:g})" if math.isfinite(value) else f"{value:g}"
        raise InputError(
            f"the log density and its gradient must be finite at the start, got {got} for chain {first} and "
            f"{int((~usable).sum())} of {len(x)} chains outside: start inside the support, where it is smooth"
        )
    return x


def _usable(gradient, x: Tensor) -> Tensor:
    value, score = gradient(x)
    return value.isfinite() & score.isfinite().flatten(1).all(1)


def _sample(start: Reference | Distribution, n: int, rng: Rng) -> Tensor:
    if not isinstance(start, Distribution):
        return start.sample(n, rng)
    generator = rng if isinstance(rng, torch.Generator) else next(iter(rng))
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng():  # torch.distributions draws from the global generator alone
        torch.manual_seed(seed)
        return start.sample((n,))
