"""Density estimation: normalized log densities of table rows, and new rows."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, no_type_check

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from absynth.errors import InputError
from absynth.metrics.likelihood import LogZ, log_z
from absynth.seeding import stream
from absynth.sklearn.atoms import decode_atoms, encode_atoms, find_atoms, log_density_within
from absynth.sklearn.columns import Columns
from absynth.sklearn.fitting import chunks
from absynth.sklearn.tilted import TiltedTable, independence


class EBMDensity(TiltedTable):
    """A normalized density of table rows, like ``KernelDensity`` and ``GaussianMixture``.

    A mixture of Gaussians and categories whose number of components is chosen on held-out rows, tilted by small
    networks that learn what tells the rows from draws of the mixture. ``score_samples`` is a log density per unit of
    every numeric column and a log probability of categories; missing entries are marginalized out of the mixture and
    drawn for the tilt.

    A numeric column of few values, repeated often, has a probability for each value, spread over a Gaussian of a
    thousandth of the column's standard deviation: compare its log density with that of other tables with care.

    Args:
        width: Units of the two hidden layers of the tilt.
        members: Number of networks whose tilts are averaged.
        steps: Updates of the tilt at most; None follows from the number of rows, 0 keeps the mixture alone.
        minutes: Time of the tilt's training at most.
        random_state: Seed, RandomState or None.

    Attributes:
        ebm_: The energy-based model, on the matrix that ``columns_`` makes; its reference is the mixture.
        n_components_: Components of the mixture.
        atoms_: For each column its values, if it is a number of few; None otherwise.
        log_z_, log_z_error_: log Z of the tilt and its standard error.

    >>> X = np.random.default_rng(0).normal(size=(300, 1))
    >>> density = EBMDensity(steps=0, random_state=0).fit(X)
    >>> bool(abs(density.score_samples([[0.0]])[0] + 0.92) < 0.2)  # log N(0; 0, 1) is −.919
    True
    """

    _parameter_constraints = {  # noqa: RUF012
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
        width: int = 64,
        members: int = 3,
        steps: int | None = None,
        minutes: int | float | None = None,
        random_state: Any = None,
    ) -> None:
        self.width = width
        self.members = members
        self.steps = steps
        self.minutes = minutes
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> EBMDensity:
        """Learn the density of rows ``[n, p]``; y is ignored."""
        self._validate_params()
        rows, weights, _ = self._merged(self._rows(X, reset=True), sample_weight)
        plain = Columns.of(rows, self._categories, weights)
        self.mean_, self.std_ = plain.mean, plain.std
        self.atoms_ = find_atoms(rows, weights, self._categories)
        coded = encode_atoms(rows, self.atoms_, self.std_)
        values = [c if a is None else [*a, "other"] for a, c in zip(self.atoms_, self._categories, strict=True)]
        self.columns_ = Columns.of(coded, values, weights)
        self.seed_ = self._seed()
        self._learn(self.columns_.encode(coded), weights, self.seed_)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Log density of each row, normalized, in the units of the columns."""
        check_is_fitted(self)
        columns: Columns = self.columns_
        rows = self._rows(X)
        codes = encode_atoms(rows, self.atoms_, self.std_)
        x = torch.from_numpy(columns.encode(codes))
        known = ~x.isnan()
        jacobian = torch.from_numpy(np.log(columns.std[columns.numeric]))
        out = torch.from_numpy(log_density_within(rows, codes, self.atoms_, self.mean_, self.std_))
        out -= (known[:, : columns.numbers] * jacobian).sum(1)
        whole = known.all(1)
        if whole.any():
            out[whole] += chunks(self.ebm_().log_density, x[whole]) - self.log_z_
        if not whole.all():
            part, seen = torch.where(known, x, torch.zeros_like(x))[~whole], known[~whole]
            given, rng, tilts = self.ebm_.reference.condition(part, seen), stream(self.seed_, 0, 3), []
            for _ in range(100):
                tilts.append(chunks(self.ebm_.f, self.ebm_.reference.draw(given, part, seen, rng=rng)))
            mean = torch.stack(tilts).logsumexp(0) - np.log(100)
            out[~whole] += given.log_marginal + mean - self.log_z_
        return out.numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Total log density, as ``KernelDensity.score``."""
        return float(self.score_samples(X).sum())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """New rows, as an array, or as a DataFrame of the dtypes that ``fit`` was given: whole numbers are rounded."""
        check_is_fitted(self)
        if n_samples < 1:
            raise InputError(f"expected a positive number of samples, got {n_samples}")
        seed = self.seed_ if random_state is None else int(np.random.default_rng(random_state).integers(2**31))
        rng, parts = stream(seed, 0, 4), []
        with torch.no_grad():
            for begin in range(0, n_samples, 8192):
                blank = torch.zeros(min(8192, n_samples - begin), self.columns_.width, dtype=torch.float64)
                parts.append(independence(self.ebm_, blank, torch.zeros_like(blank, dtype=torch.bool), rng=rng))
        codes = self.columns_.decode(torch.cat(parts).numpy())
        return self._table(decode_atoms(codes, self.atoms_, self.mean_, self.std_, np.random.default_rng([seed, 4])))

    def check_normalization(self, chains: int = 64, temperatures: int = 300) -> LogZ:
        """log Z by annealed importance sampling from below and from above, in ``log_z_``'s units; numbers only."""
        check_is_fitted(self)
        if self.columns_.sizes:
            raise InputError("annealing needs numeric columns alone, got categories: log_z_error_ is exact there")
        return log_z(
            self.ebm_().log_density,
            self.ebm_.reference,
            chains=chains,
            temperatures=temperatures,
            rng=stream(self.seed_, 0, 5),
        )
