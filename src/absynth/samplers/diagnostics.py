"""What chains tell about themselves: effective sample size, R-hat, acceptance, energy along the way.

Chains are stacked as ``[chain, draw, *event]``; every entry of an event is judged on its own. All computing is in
float64, results come in the chains' type, or in the default float type for integers and booleans. An entry that is not
finite in some draw has no figure: it comes back as NaN, and a warning names the first such draw.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from absynth.errors import InputError
from absynth.types import LogDensity

Chains = Num[Tensor, "chain draw *event"] | Bool[Tensor, "chain draw *event"]
"""Draws of several chains, of any number type."""


def effective_sample_size(chains: Chains) -> Float[Tensor, "*event"]:
    """How many independent draws would estimate the mean as well as these chains do.

    N / τ with τ = −1 + 2 Σ ρ_t, chains split in halves, ρ_t from all halves together so that disagreement between them
    lowers the figure, the sum cut by Geyer's initial positive sequence and made monotone (Vehtari et al. 2021,
    section 3.2; Geyer 1992, section 3.3). It is Stan's and ArviZ's ``ess(method="mean")``; apply it to
    :func:`rank_normalize` for their "bulk" figure, which exists for laws without a variance too. A negative correlation
    may give more than N, at most N log10 N.

    Args:
        chains: at least 4 draws each. With an odd number of draws the middle one is left out.

    Returns:
        One figure an entry. NaN where the entry never varies or is not finite: such chains know nothing of their mean.

    Raises:
        InputError: fewer than 4 draws a chain.
    """
    chains = _floating(chains)
    return _where_finite(chains, _ess(_split(chains)))


def split_rhat(chains: Chains) -> Float[Tensor, "*event"]:
    """sqrt(estimated variance of the law / mean variance within half chains) (Gelman et al. 2013,
    eq. 11.4).

    1 where the chains agree; above 1.01, run longer (Vehtari et al. 2021). Apply it to :func:`rank_normalize` for laws
    without a variance.

    Returns:
        One figure an entry; NaN where the entry never varies or is not finite, infinity where chains are stuck at
        different values.

    Raises:
        InputError: fewer than 4 draws a chain.
    """
    chains = _floating(chains)
    return _where_finite(chains, _rhat(_split(chains)))


def rank_normalize(chains: Chains) -> Float[Tensor, "chain draw *event"]:
    """Replace values by the normal scores of their ranks among all draws of all chains (Vehtari et al.
    2021, section 4.1).

    Φ^{-1}((r − 3/8) / (N + 1/4)) with r the rank, ties sharing their average rank.
    """
    chains = _floating(chains)
    return _normal_scores(chains).to(chains.dtype)


def _normal_scores(chains: Tensor) -> Tensor:
    pooled = chains.detach().double().flatten(0, 1)  # [N, *event]
    last = pooled.movedim(0, -1).contiguous()
    ordered = last.sort(-1).values
    below = torch.searchsorted(ordered, last)
    upto = torch.searchsorted(ordered, last, right=True)
    rank = 0.5 * (below + upto + 1).double()
    scores = torch.special.ndtri((rank - 0.375) / (last.shape[-1] + 0.25))
    scores = scores.masked_fill(last.isnan().any(-1, keepdim=True), math.nan)  # one NaN and no rank is known
    return scores.movedim(-1, 0).reshape(chains.shape)


def bulk_ess(chains: Chains) -> Float[Tensor, "*event"]:
    """Effective sample size of the rank-normalized half chains: how well the middle of the law is known.

    It exists for laws without a variance too (Vehtari et al. 2021, section 4.3; ArviZ's ``ess(method="bulk")``).
    """
    chains = _floating(chains)
    return _where_finite(chains, _ess(_normal_scores(_split(chains))))


def tail_ess(chains: Chains) -> Float[Tensor, "*event"]:
    """The smaller effective sample size of the 5 % and 95 % quantiles (Vehtari et al. 2021, section 4.3)."""
    chains = _floating(chains)
    pooled = chains.detach().double().flatten(0, 1)
    halves, sizes = _split(chains), []
    for share in (0.05, 0.95):
        cut = _quantile(pooled, share)
        sizes.append(_ess((halves <= cut).double()))
    smaller = torch.minimum(*(torch.where(s.isnan(), torch.inf, s) for s in sizes))
    return _where_finite(chains, torch.where(smaller.isinf(), math.nan, smaller))


def rank_rhat(chains: Chains) -> Float[Tensor, "*event"]:
    """The larger split R-hat of the rank-normalized draws and of their distances from the median.

    The second sees chains that agree in location and differ in scale (Vehtari et al. 2021, section 4.2; ArviZ's
    ``rhat(method="rank")``). Above 1.01, run longer.
    """
    chains = _floating(chains)
    halves = _split(chains)
    folded = (halves - _quantile(halves.flatten(0, 1), 0.5)).abs()
    bulk, spread = (_rhat(_normal_scores(h)) for h in (halves, folded))
    return _where_finite(chains, torch.where(spread.isnan(), bulk, torch.maximum(bulk, spread)))


def acceptance(chains: Chains) -> Float[Tensor, "chain"]:
    """The share of steps that change the state: the acceptance rate of a Metropolis sampler.

    A rejected proposal leaves every entry as it was, bit for bit. Langevin without correction always gives 1. NaN for a
    chain with a draw that is not finite.
    """
    chains = _floating(chains)
    if chains.shape[1] < 2:
        raise InputError(f"acceptance needs at least 2 draws a chain, got {chains.shape[1]}")
    moved = chains[:, 1:] != chains[:, :-1]
    share = moved[..., None].flatten(2).any(2).to(chains.dtype).mean(1)
    finite = chains.isfinite().flatten(1).all(1)
    return torch.where(finite, share, math.nan)


def energy_profile(log_density: LogDensity, path: Iterable[Float[Tensor, "b *event"]]) -> Float[Tensor, "t b"]:
    """The energy −log density (up to log Z) of each of b chains at each of t states: should fall, then level off.

    Args:
        log_density: ``x [b, *event] -> [b]``.
        path: the states in order; an iterator is read once, so states need not be kept.

    Raises:
        InputError: the path is empty.

    >>> energy_profile(lambda x: -x.square().sum(1), [torch.ones(2, 3), torch.zeros(2, 3)])
    tensor([[3., 3.],
            [0., 0.]])
    """
    with torch.no_grad():
        energies = [-log_density(x) for x in path]
    if not energies:
        raise InputError("an energy profile needs at least one state, got an empty path")
    return torch.stack(energies)


def _floating(chains: Tensor) -> Tensor:
    """Integers and booleans as floats; a warning for draws that are not finite."""
    if not chains.is_floating_point():
        return chains.to(torch.get_default_dtype())
    bad = ~chains.isfinite()
    if bad.any():
        chain, draw = bad[..., None].flatten(2).any(2).nonzero()[0].tolist()
        warnings.warn(
            f"{int(bad.sum())} of {bad.numel()} values are not finite, the first in draw {draw} of chain {chain}: "
            "figures of such entries are NaN; shorten the sampler's steps or drop these draws",
            stacklevel=3,
        )
    return chains


def _ess(halves: Tensor) -> Tensor:
    parts = halves[..., None].flatten(2).split(256, dim=2)  # bounds the Fourier transforms' memory
    return torch.cat([_effective_sample_size(part) for part in parts]).reshape(halves.shape[2:])


def _rhat(halves: Tensor) -> Tensor:
    n = halves.shape[1]
    within = halves.var(1).mean(0)
    between = halves.mean(1).var(0)
    return (between / within + (n - 1) / n).sqrt()


def _quantile(pooled: Tensor, share: float) -> Tensor:
    """The quantile over the first dimension, between neighbours by linear interpolation; for any number of draws."""
    ordered = pooled.sort(0).values
    at = share * (len(ordered) - 1)
    low = int(at)
    return torch.lerp(ordered[low], ordered[min(low + 1, len(ordered) - 1)], at - low)


def _split(chains: Tensor) -> Tensor:
    """First and last half of each chain, as chains, in float64."""
    draws = chains.shape[1]
    if draws < 4:
        raise InputError(f"chains must have at least 4 draws, got {draws}: keep more states of each chain")
    half = draws // 2
    return torch.cat([chains[:, :half], chains[:, draws - half :]]).detach().double()


def _where_finite(chains: Tensor, figure: Tensor) -> Tensor:
    """NaN where any draw is not finite, the middle draw that splitting leaves out among them."""
    return torch.where(chains.isfinite().all(0).all(0), figure, math.nan).to(chains.dtype)


def _autocovariance(x: Tensor) -> Tensor:
    """``[chain, draw, e] -> [chain, lag, e]``, sums divided by n at every lag (Geyer's biased form), by FFT."""
    n = x.shape[1]
    size = 1 << (2 * n - 1).bit_length()  # zero padding to 2n or more keeps the ends apart
    spectrum = torch.fft.rfft(x - x.mean(1, keepdim=True), n=size, dim=1)
    return torch.fft.irfft(spectrum.abs().square(), n=size, dim=1)[:, :n] / n


def _effective_sample_size(x: Tensor) -> Tensor:
    chains, n, _ = x.shape
    covariance = _autocovariance(x).mean(0)  # [lag, e]
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + x.mean(1).var(0)
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[: n - n % 2].unflatten(0, (-1, 2)).sum(1)  # ρ_2k + ρ_2k+1
    # Keep pairs up to the first that is not positive, or to the last lag that is estimated from more than two draws.
    pairs = pairs[: max((n - 3) // 2, 0) + 1]
    positive = (pairs > 0).long().cumprod(0)
    kept = positive.sum(0).clamp(max=len(pairs) - 1)  # [e]
    inside = torch.arange(len(pairs), device=x.device)[:, None] < kept
    monotone = torch.where(inside, pairs.cummin(0).values, 0.0).sum(0)
    # The even lag after the last pair kept still helps if it is positive: an antithetic chain's figure needs it.
    following = rho.gather(0, 2 * kept[None]).squeeze(0)
    last = pairs.gather(0, kept[None]).squeeze(0)
    following = torch.where(last >= 0, following, following.clamp(min=0))
    tau = -1 + 2 * monotone + following
    draws = chains * n
    size = draws / tau.clamp(min=1 / math.log10(draws))
    return torch.where(x.amax((0, 1)) > x.amin((0, 1)), size, math.nan)
