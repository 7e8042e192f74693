"""A verdict on chains: effective sample sizes, R-hat, and one line that says what is wrong."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from absynth.errors import InputError
from absynth.samplers import diagnostics

RHAT_LIMIT = 1.01
"""Above it chains do not agree (Vehtari et al. 2021)."""
ESS_LIMIT = 400
"""Below it R-hat and the effective sample size itself are unreliable (Vehtari et al. 2021)."""


@dataclass(frozen=True)
class ChainSummary:
    """Figures of chains ``[chains, draws, *event]``, one an entry of the event.

    Args:
        chains: how many.
        draws: of each chain.
        ess_bulk: effective sample size of the rank-normalized draws.
        ess_tail: the smaller effective sample size of the 5 % and 95 % quantiles.
        rhat: rank-normalized split R-hat.
        stuck: bool ``[chains]``, chains that never moved.
        not_finite: entries with a draw that is not finite; their figures are NaN.
    """

    chains: int
    draws: int
    ess_bulk: Tensor
    ess_tail: Tensor
    rhat: Tensor
    stuck: Tensor
    not_finite: int

    @property
    def figures(self) -> dict[str, float]:
        """The worst entry of each, by name; NaN where no entry has a figure."""
        return {
            "smallest bulk ESS": _worst(self.ess_bulk, -1),
            "smallest tail ESS": _worst(self.ess_tail, -1),
            "largest R-hat": _worst(self.rhat, 1),
            "stuck chains": float(self.stuck.sum()),
        }

    @property
    def troubles(self) -> list[str]:
        """What is wrong, the worst first; empty for good chains."""
        found = []
        if self.not_finite:
            found.append(f"{self.not_finite} of {self.rhat.numel()} entries are not finite in some draw")
        if n := int(self.stuck.sum()):
            found.append(f"{n} of {self.chains} chains never moved")
        rhat, ess = self.figures["largest R-hat"], min(self.ess_limits())
        if rhat > RHAT_LIMIT:
            shown = f"{rhat:.3g}" if rhat >= RHAT_LIMIT + 0.005 else f"{rhat:.6g}"  # never "1.01 > 1.01"
            who = "chains disagree" if self.chains > 1 else "the halves of the chain disagree"
            found.append(f"R-hat {shown} > {RHAT_LIMIT}: {who}")
        if ess < ESS_LIMIT:
            found.append(f"effective sample size {ess:.3g} < {ESS_LIMIT}")
        constant = int((self.rhat.isnan()).sum()) - self.not_finite
        if constant > 0 and not self.stuck.all():
            found.append(f"{constant} of {self.rhat.numel()} entries never vary")
        return found

    def ess_limits(self) -> tuple[float, float]:
        """The smallest bulk and tail effective sample size."""
        return self.figures["smallest bulk ESS"], self.figures["smallest tail ESS"]

    @property
    def advice(self) -> list[str]:
        """What to do about the troubles; empty for good chains."""
        found = ["shorten the step"] if self.not_finite else []
        if self.stuck.any():
            found.append("give a longer warmup or a shorter step")
        if self.stuck.all():  # they say nothing about modes or length
            return found
        if self.figures["largest R-hat"] > RHAT_LIMIT:
            return [*found, "run longer, or cross modes with Tempering"]
        return [*found, "run longer"] if len(self.troubles) > len(found) else found

    @property
    def warning(self) -> str:
        """What is wrong and what to do, in one line; "" for good chains."""
        return "; ".join([*self.troubles, *self.advice])


def summarize_chains(x: Num[Tensor, "chain draw *event"] | Bool[Tensor, "chain draw *event"]) -> ChainSummary:
    """Judge chains by what they leave behind.

    Args:
        x: draws, ``[chains, draws, *event]``, at least 4 a chain, of any number type.

    Raises:
        InputError: fewer than 4 draws a chain, or no chain.

    >>> x = torch.randn(4, 500, 2, generator=torch.Generator().manual_seed(0))
    >>> summarize_chains(x).warning
    ''
    >>> x[0] += 1
    >>> summarize_chains(x).warning
    'R-hat 1.11 > 1.01: chains disagree; effective sample size 24 < 400; run longer, or cross modes with Tempering'
    """
    if x.ndim < 2 or len(x) < 1 or x.shape[1] < 4:
        raise InputError(
            f"chains must have shape [chains, draws, *event] with at least 4 draws, got {list(x.shape)}: keep more "
            "states of each chain"
        )
    columns = x[..., None].flatten(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is not finite is in the summary's own line
        figures = [
            torch.cat([figure(part) for part in columns.split(256, dim=2)]).reshape(x.shape[2:])  # bounds the memory
            for figure in (diagnostics.bulk_ess, diagnostics.tail_ess, diagnostics.rank_rhat)
        ]
    bad = ~columns.isfinite().all(0).all(0)
    still = (x[:, 1:] == x[:, :-1]).flatten(1).all(1)
    return ChainSummary(len(x), x.shape[1], *figures, stuck=still, not_finite=int(bad.sum()))


def _worst(figure: Float[Tensor, "*event"], sign: int) -> float:
    known = figure[~figure.isnan()]
    return sign * float((sign * known).max()) if known.numel() else math.nan
