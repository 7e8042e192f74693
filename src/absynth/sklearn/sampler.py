"""Synthetic rows of rare classes, in the manner of imbalanced-learn."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, no_type_check

import numpy as np
import torch
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y, check_is_fitted

from absynth.errors import InputError
from absynth.seeding import stream
from absynth.sklearn.columns import Columns, frame_of, is_frame
from absynth.sklearn.tilted import TiltedTable, independence


class EBMSampler(TiltedTable):
    """Draw rows of rare classes from an energy-based model of rows and class, to balance a data set.

    One model is learned of rows and class together, all classes counting alike; synthetic rows are exact conditional
    draws given the class. ``fit_resample`` is imbalanced-learn's method: the rows as given, then synthetic ones.

    Args:
        sampling_strategy: Rows of each class after resampling: "auto" for as many as the largest class has, a share of
            it, or a dict of class and number.
        width: Units of the two hidden layers of the tilt.
        members: Number of networks whose tilts are averaged.
        steps: Updates of the tilt at most; None follows from the number of rows, 0 keeps the mixture alone.
        minutes: Time of the tilt's training at most.
        random_state: Seed, RandomState or None.

    Attributes:
        classes_: The classes.

    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(120, 2)), np.repeat([0, 1], [100, 20])
    >>> X2, y2 = EBMSampler(steps=0, random_state=0).fit_resample(X, y)
    >>> np.bincount(y2)
    array([100, 100])
    """

    _parameter_constraints = {  # noqa: RUF012
        "sampling_strategy": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="right"), dict],
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
        sampling_strategy: Any = "auto",
        width: int = 64,
        members: int = 3,
        steps: int | None = None,
        minutes: int | float | None = None,
        random_state: Any = None,
    ) -> None:
        self.sampling_strategy = sampling_strategy
        self.width = width
        self.members = members
        self.steps = steps
        self.minutes = minutes
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any) -> EBMSampler:
        """Learn rows ``[n, p]`` and their classes ``[n]``."""
        self._validate_params()
        if y is None:
            raise ValueError("EBMSampler requires y to be passed, but the target y is None")
        rows = self._rows(X, reset=True)
        y = _check_y(column_or_1d(y, warn=True), multi_output=False, y_numeric=False, estimator=self)
        check_consistent_length(rows, y)
        check_classification_targets(y)
        self.classes_, code = np.unique(y, return_inverse=True)
        self.counts_ = np.bincount(code)
        weights = (len(y) / len(self.classes_) / self.counts_)[code]
        table = np.column_stack([rows, code])
        table, weights, _ = self._merged(table, weights)
        names = [str(c) for c in self.classes_]
        self.columns_ = Columns.of(table, [*self._categories, names], weights)
        self.seed_ = self._seed()
        self._learn(self.columns_.encode(table), weights, self.seed_)
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """X and y with synthetic rows of the rare classes at the end; y is a Series if a Series was given."""
        self.fit(X, y)
        if len(self.classes_) < 2:
            raise ValueError(
                f"expected two classes or more to balance, got {len(self.classes_)} class: {self.classes_.tolist()}"
            )
        rows, given = [], column_or_1d(y)
        labels = []
        for label, missing in self._missing().items():
            if missing > 0:
                rows.append(self._draw(missing, label, None))
                labels.append(np.full(missing, self.classes_[label], dtype=self.classes_.dtype))
        out = np.concatenate([given, *labels])
        if hasattr(y, "iloc") and y.ndim == 1:
            out = type(y)(out, name=y.name, dtype=y.dtype)
        if not rows:
            return X, out
        new = np.concatenate(rows)
        if not is_frame(X):
            return np.concatenate([self._rows(X), new]), out
        import pandas as pd

        return pd.concat([X, self._features(new, list(X.columns), list(X.dtypes))], ignore_index=True), out

    def sample(self, n_samples: int, label: Any, random_state: Any = None) -> Any:
        """n synthetic rows of a class."""
        check_is_fitted(self)
        found = np.flatnonzero(self.classes_ == label)
        if n_samples < 1 or not len(found):
            known = ", ".join(map(str, self.classes_))
            raise InputError(f"expected a positive number of rows of a class of {known}, got {n_samples} of {label}")
        rows = self._draw(n_samples, int(found[0]), random_state)
        names = getattr(self, "feature_names_in_", None)
        return rows if names is None else self._features(rows, list(names), self._dtypes)

    def _features(self, rows: np.ndarray, names: list, dtypes: list | None) -> Any:
        return frame_of(rows, self.columns_.categories[:-1], names, dtypes=dtypes)

    def _missing(self) -> dict[int, int]:
        largest = int(self.counts_.max())
        if isinstance(self.sampling_strategy, dict):
            unknown = [k for k in self.sampling_strategy if k not in self.classes_.tolist()]
            if unknown:
                raise InputError(f"expected classes of {self.classes_.tolist()} in sampling_strategy, got {unknown}")
            counts = dict(zip(self.classes_.tolist(), self.counts_.tolist(), strict=True))
            fewer = {k: n for k, n in self.sampling_strategy.items() if n < counts[k]}
            if fewer:
                raise InputError(
                    f"expected at least as many rows as the class has ({ {k: counts[k] for k in fewer} }) in "
                    f"sampling_strategy, got {fewer}: rows are added, none is taken away"
                )
            return {
                i: int(self.sampling_strategy.get(c, self.counts_[i])) - int(self.counts_[i])
                for i, c in enumerate(self.classes_.tolist())
            }
        target = largest if self.sampling_strategy == "auto" else round(self.sampling_strategy * largest)
        return {i: target - int(n) for i, n in enumerate(self.counts_)}

    def _draw(self, n: int, label: int, random_state: Any) -> np.ndarray:
        seed = self.seed_ if random_state is None else int(np.random.default_rng(random_state).integers(2**31))
        rng, classes, parts = stream(seed, 0, 7, label), len(self.classes_), []
        for begin in range(0, n, 4096):
            x = torch.zeros(min(4096, n - begin), self.columns_.width, dtype=torch.float64)
            x[:, self.columns_.width - classes + label] = 1
            known = torch.zeros_like(x, dtype=torch.bool)
            known[:, self.columns_.width - classes :] = True
            with torch.no_grad():
                parts.append(self.columns_.decode(independence(self.ebm_, x, known, rng=rng).numpy()))
        return np.concatenate(parts)[:, :-1]
