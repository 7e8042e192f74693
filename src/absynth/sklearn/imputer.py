"""Missing entries: conditional means, several draws, and intervals."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, no_type_check

import numpy as np
import torch
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from absynth.errors import InputError
from absynth.seeding import stream, uniform_like
from absynth.sklearn.columns import Columns
from absynth.sklearn.fitting import chunks
from absynth.sklearn.mixture import Mixture
from absynth.sklearn.tilted import TiltedTable
from absynth.types import Rng

HIDDEN = 0.2  # share of the entries of held-out rows that is hidden to calibrate the spread of draws
ROWS = 2048  # rows whose proposals are held in memory at once


class EBMImputer(OneToOneFeatureMixin, TransformerMixin, TiltedTable):
    """Fill missing entries by an energy-based model of the rows.

    The model of :class:`EBMDensity` is learned from rows as they are, with their missing entries. ``transform`` fills a
    number by its conditional mean and a category by its most probable value given what is known of the row; ``draws``
    gives several completed tables, whose spread says how uncertain an entry is.

    Args:
        proposals: Draws from the mixture's conditional for each row, which the tilt weights.
        width: Units of the two hidden layers of the tilt.
        members: Number of networks whose tilts are averaged.
        steps: Updates of the tilt at most; None follows from the number of rows, 0 keeps the mixture alone.
        minutes: Time of the tilt's training at most.
        random_state: Seed, RandomState or None.

    Attributes:
        spread_: Factor by which draws lie further from their mean than the model has them, so that intervals cover
            hidden entries of rows held out from the fit; 1 where the model's own do.
        ebm_, columns_, n_components_: As in :class:`EBMDensity`.

    >>> X = np.random.default_rng(0).normal(size=(200, 1)) * [1.0, 2.0]
    >>> X[0, 1] = np.nan
    >>> filled = EBMImputer(steps=0, random_state=0).fit_transform(X)
    >>> bool(abs(filled[0, 1] - 2 * X[0, 0]) < 0.05)
    True
    """

    _prior = True
    _margin = 1.0
    _parameter_constraints = {  # noqa: RUF012
        "proposals": [Interval(Integral, 2, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "members": [Interval(Integral, 1, None, closed="left")],
        "steps": [None, Interval(Integral, 0, None, closed="left")],
        "minutes": [None, Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    @no_type_check  # scikit-learn: parameters are checked in fit
    def __init__(
        self,
        *,
        proposals: int = 200,
        width: int = 64,
        members: int = 3,
        steps: int | None = None,
        minutes: int | float | None = None,
        random_state: Any = None,
    ) -> None:
        self.proposals = proposals
        self.width = width
        self.members = members
        self.steps = steps
        self.minutes = minutes
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> EBMImputer:
        """Learn from rows ``[n, p]`` with missing entries (NaN, None in columns of categories); y is ignored."""
        self._validate_params()
        rows, weights, _ = self._merged(self._rows(X, reset=True), sample_weight)
        self.columns_ = Columns.of(rows, self._categories, weights)
        self.seed_, self.spread_ = self._seed(), 1.0
        self._learn(self.columns_.encode(rows), weights, self.seed_)
        return self

    def transform(self, X: Any) -> Any:
        """X with every missing entry filled: an array, or a DataFrame if X is one with categories.

        The DataFrame has X's index, and X's dtypes where they can hold what is filled in: a mean is rounded for a
        nullable dtype of whole numbers.
        """
        check_is_fitted(self)
        rows = self._rows(X)
        filled = self._means(rows)
        return self._table(filled, like=X) if self.columns_.sizes else filled

    def draws(self, X: Any, n: int = 10, random_state: Any = None) -> list:
        """n completed tables, each of them a draw given what is known.

        Args:
            X: Rows with missing entries.
            n: Number of tables; fewer than ``proposals``.
            random_state: Seed of the draws; None gives those of the fit's seed.
        """
        check_is_fitted(self)
        if n < 1:
            raise InputError(f"expected a positive number of draws, got {n}")
        if n > self.proposals:
            raise InputError(f"expected at most proposals={self.proposals} draws, got {n}: fit with more proposals")
        rows = self._rows(X)
        drawn = self._draws(rows, n, self._stream(random_state))
        return [self._table(d, like=X) if self.columns_.sizes else d for d in drawn]

    def interval(self, X: Any, level: float = 0.9, n: int = 100) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of the central interval of each number, ``[rows, p]``; NaN for categories."""
        check_is_fitted(self)
        drawn = self._draws(self._rows(X), min(n, self.proposals), self._stream(None))
        # Of n draws, another lies below the k-th smallest with probability k/(n + 1): Weibull's quantile.
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
        words = [j for j, c in enumerate(self.columns_.categories) if c is not None]
        low[:, words], high[:, words] = np.nan, np.nan
        return low, high

    def _stream(self, random_state: Any) -> torch.Generator:
        seed = self.seed_ if random_state is None else int(np.random.default_rng(random_state).integers(2**31))
        return stream(seed, 0, 6)

    def _propose(self, x: Tensor, known: Tensor, rng: Rng) -> tuple[Tensor, Tensor, Tensor]:
        """(proposals ``[s, n, d]``, their normalized weights ``[s, n]``, the mixture's conditional mean ``[n, d]``)."""
        mixture = self.ebm_.reference
        given = mixture.condition(x, known)
        s, roots = self.proposals, mixture.roots(given, known)
        drawn = torch.stack([mixture.draw(given, x, known, roots=roots, rng=rng) for _ in range(s)])
        f = chunks(self.ebm_.f, drawn.flatten(0, 1)).unflatten(0, (s, len(x)))
        share = given.log_share.exp()
        number = (share[..., None] * given.mean).sum(1)
        words = torch.cat([number, share @ mixture.log_category.exp()], 1)
        return drawn, f.softmax(0), torch.where(known, x, words)

    def _hidden(self, x: Tensor, rng: Rng) -> Tensor:
        """True at numbers that are known and now hidden."""
        hide = ~x.isnan() & (uniform_like(x, rng) < HIDDEN)
        hide[:, self.columns_.numbers :] = False
        return hide

    def _held_out(self, mixture: Mixture, x: Tensor, seed: int) -> Tensor:
        """The squared error at hidden numbers of held-out rows, negative; by the likelihood if there are none."""
        numbers = self.columns_.numbers
        if not numbers:
            return super()._held_out(mixture, x, seed)
        rng, error, count = stream(seed, 0, 8), [], 0.0
        for part in x.split(1024):
            total = torch.zeros(len(part), dtype=torch.float64)
            for _ in range(5):
                hide = self._hidden(part, rng)
                given = mixture.condition(part.nan_to_num(), ~part.isnan() & ~hide)
                mean = (given.log_share.exp()[..., None] * given.mean).sum(1)
                off = torch.where(hide[:, :numbers], mean - part[:, :numbers].nan_to_num(), 0.0)
                total, count = total + off.square().sum(1), count + float(hide.sum())
            error.append(total)
        return -torch.cat(error) * len(x) / max(count, 1.0)

    def _calibrate(self, held: Tensor, weights: Tensor, rng: Rng) -> None:
        """``spread_``: the factor on draws about their mean at which 90 % intervals cover 90 % of hidden entries."""
        numbers, needed, counts = self.columns_.numbers, [], []
        for _ in range(max(3, min(20, 2000 // (1 + held.numel() // 5)))):
            known, hide = ~held.isnan(), self._hidden(held, rng)
            rows = hide.any(1)
            if not rows.any() or not numbers:
                continue
            drawn, weight, _ = self._propose(held[rows].nan_to_num(), (known & ~hide)[rows], rng)
            drawn, hidden = drawn[..., :numbers], hide[rows][:, :numbers]
            order = drawn.argsort(0)
            edges = weight[..., None].expand_as(drawn).gather(0, order).cumsum(0)
            ranked = drawn.gather(0, order)
            low, high = (
                ranked.gather(0, (edges < q).sum(0, keepdim=True).clamp(max=len(ranked) - 1))[0] for q in (0.05, 0.95)
            )
            mean, truth = (weight[..., None] * drawn).sum(0), held[rows][:, :numbers]
            half = torch.where(truth > mean, high - mean, mean - low).clamp(min=1e-9)
            needed.append(((truth - mean).abs() / half)[hidden])
            counts.append(weights[rows][:, None].expand_as(hidden)[hidden])
        if needed:
            factor, order = torch.cat(needed).sort()
            line = torch.cat(counts)[order].cumsum(0)
            self.spread_ = max(1.0, float(factor[int((line < 0.9 * line[-1]).sum())]))

    def _means(self, rows: np.ndarray) -> np.ndarray:
        columns: Columns = self.columns_
        out, x, rng = rows.copy(), torch.from_numpy(columns.encode(rows)), self._stream(None)
        for at in self._incomplete(rows):
            part = x[at]
            known = ~part.isnan()
            drawn, weight, mean = self._propose(torch.where(known, part, torch.zeros_like(part)), known, rng)
            # What the tilt changes, by the draws; the mixture's own mean is exact.
            shift = ((weight - 1 / len(weight))[..., None] * drawn).sum(0)
            filled = columns.decode((mean + shift).numpy())
            out[at] = np.where(np.isnan(rows[at]), filled, rows[at])
        return out

    def _draws(self, rows: np.ndarray, n: int, rng: Rng) -> np.ndarray:
        columns: Columns = self.columns_
        out, x = np.repeat(rows[None], n, 0), torch.from_numpy(columns.encode(rows))
        for at in self._incomplete(rows):
            part = x[at]
            known = ~part.isnan()
            drawn, weight, mean = self._propose(torch.where(known, part, torch.zeros_like(part)), known, rng)
            numbers = columns.numbers
            mean = (mean + ((weight - 1 / len(weight))[..., None] * drawn).sum(0))[:, :numbers]
            drawn[..., :numbers] = mean + self.spread_ * (drawn[..., :numbers] - mean)
            # Systematic resampling: n evenly spaced places on the line of weights, in random order.
            edges = weight.T.cumsum(1)
            place = (torch.arange(n) + uniform_like(edges[:, :1].contiguous(), rng)) / n * edges[:, -1:]
            index = torch.searchsorted(edges, place.contiguous(), right=True).clamp(max=len(weight) - 1)
            order = uniform_like(index.double(), rng).argsort(1)
            index = index.gather(1, order)
            chosen = drawn[index.T, torch.arange(len(part))]
            for i in range(n):
                filled = columns.decode(chosen[i].numpy())
                out[i, at] = np.where(np.isnan(rows[at]), filled, rows[at])
        return out

    @staticmethod
    def _incomplete(rows: np.ndarray) -> list[np.ndarray]:
        at = np.flatnonzero(np.isnan(rows).any(1))
        return [at[i : i + ROWS] for i in range(0, len(at), ROWS)]
