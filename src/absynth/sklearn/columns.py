"""Columns of numbers and categories as a matrix for networks, and back.

Numbers come first, standardized, then one block of zeros and ones for each categorical column: the layout that
:class:`absynth.algorithms.perturbations.MixedColumns` perturbs. A missing entry is NaN until :meth:`Columns.fill`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_CATEGORIES = 100
Rows = np.ndarray
"""``[n, p]`` float64: numbers, the position of a category, NaN where missing."""


@dataclass(frozen=True)
class Columns:
    """What a table's columns are.

    Args:
        categories: For each column its values, or None for numbers.
        mean: Mean of each column; 0 for categories.
        std: Standard deviation of each column; 1 for categories and constant columns.
        fills: What stands for a missing entry in each column of the matrix: 0 for numbers, which is the mean, and the
            share of each value for categories.

    >>> rows = np.array([[1.0, 0], [3.0, 1], [np.nan, 1]])
    >>> columns = Columns.of(rows, [None, ["no", "yes"]], np.ones(3))
    >>> columns.fill(columns.encode(rows)).round(2)
    array([[-1.,  1.,  0.],
           [ 1.,  0.,  1.],
           [ 0.,  0.,  1.]])
    """

    categories: list[list | None]
    mean: np.ndarray
    std: np.ndarray
    fills: np.ndarray

    @classmethod
    def of(cls, rows: Rows, categories: list[list | None], weights: np.ndarray) -> Columns:
        """The columns of training rows."""
        known = ~np.isnan(rows)
        if not known.any(0).all():
            raise ValueError(f"column {int((~known.any(0)).argmax())} has no value: leave it out")
        w = weights[:, None] * known
        total = w.sum(0)
        values = np.where(known, rows, 0.0)
        mean = (w * values).sum(0) / total
        std = np.sqrt((w * known * (values - mean) ** 2).sum(0) / total)
        std[std <= 1e-12 * np.abs(mean)] = 1.0
        std[std == 0] = 1.0
        words = np.array([c is not None for c in categories])
        mean[words], std[words] = 0.0, 1.0
        blank = cls(categories, mean, std, np.zeros(0))
        matrix = blank.encode(rows)
        w = weights[:, None] * ~np.isnan(matrix)
        fills = (w * np.nan_to_num(matrix)).sum(0) / w.sum(0)
        fills[: blank.numbers] = 0.0
        return cls(categories, mean, std, fills)

    @property
    def numeric(self) -> list[int]:
        """Positions of the numeric columns."""
        return [j for j, c in enumerate(self.categories) if c is None]

    @property
    def numbers(self) -> int:
        return len(self.numeric)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each categorical column."""
        return tuple(len(c) for c in self.categories if c is not None)

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return self.numbers + sum(self.sizes)

    @property
    def owner(self) -> np.ndarray:
        """The table's column that each of the matrix's columns belongs to."""
        blocks = [[j] * len(c) for j, c in enumerate(self.categories) if c is not None]
        return np.array([*self.numeric, *(j for block in blocks for j in block)], dtype=int)

    def encode(self, rows: Rows) -> np.ndarray:
        """Rows as a matrix ``[n, width]``, NaN where missing."""
        parts = [((rows - self.mean) / self.std)[:, self.numeric]]
        for j, values in enumerate(self.categories):
            if values is not None:
                code = rows[:, j]
                block = (code[:, None] == np.arange(len(values))).astype(float)
                parts.append(np.where(np.isnan(code)[:, None], np.nan, block))
        return np.concatenate(parts, 1)

    def fill(self, matrix: np.ndarray) -> np.ndarray:
        """The matrix with a typical value where an entry is missing."""
        return np.where(np.isnan(matrix), self.fills, matrix)

    def decode(self, matrix: np.ndarray) -> Rows:
        """The inverse of :meth:`encode`: units of the table, and the largest entry of each block."""
        rows = np.empty((len(matrix), len(self.categories)))
        rows[:, self.numeric] = matrix[:, : self.numbers]
        rows = rows * self.std + self.mean
        at = self.numbers
        for j, values in enumerate(self.categories):
            if values is not None:
                rows[:, j] = matrix[:, at : at + len(values)].argmax(1)
                at += len(values)
        return rows

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What to save: values for JSON, and arrays."""
        return {"categories": self.categories}, {"mean": self.mean, "std": self.std, "fills": self.fills}

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Columns:
        return cls(values["categories"], arrays["mean"], arrays["std"], arrays["fills"])


def is_frame(X: Any) -> bool:
    """True for a pandas DataFrame."""
    return hasattr(X, "iloc") and hasattr(X, "dtypes") and hasattr(X, "columns")


def categories_of(frame: Any) -> list[list | None]:
    """The values of each column of a DataFrame that does not hold numbers; None for those that do."""
    found: list[list | None] = []
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        if column.dtype.kind in "biuf":
            found.append(None)
            continue
        values = column[~column.isna()]
        if column.dtype.kind in "mM":
            raise ValueError(f"column {name!r} holds dates: expected numbers or categories, give days since a date")
        distinct = values.unique().tolist()
        if column.dtype == object and distinct and all(isinstance(v, int | float) for v in distinct):
            found.append(None)
            continue
        if not all(isinstance(v, str | int | float | bool) for v in distinct):
            raise TypeError(f"column {name!r}: argument must be a string or a number, got {type(distinct[0]).__name__}")
        if len(distinct) > MAX_CATEGORIES or (len(distinct) == len(values) > 20):
            raise ValueError(
                f"column {name!r} has {len(distinct)} different values that are not numbers: expected at most "
                f"{MAX_CATEGORIES} categories, leave the column out or encode it"
            )
        found.append(sorted(distinct, key=lambda v: (isinstance(v, str), v)))
    return found


def rows_of(frame: Any, categories: list[list | None]) -> Rows:
    """A DataFrame's rows, categories as positions."""
    rows = np.empty((len(frame), len(categories)))
    for j, values in enumerate(categories):
        column = frame.iloc[:, j]
        if values is None:
            if column.dtype.kind not in "biuf" and not all(isinstance(v, int | float) for v in column[~column.isna()]):
                raise ValueError(f"column {frame.columns[j]!r}: expected numbers as in fit, got other values")
            rows[:, j] = column.astype(float).to_numpy(dtype=float, na_value=np.nan)
            if np.isinf(rows[:, j]).any():
                raise ValueError("Input X contains infinity or a value too large for dtype('float64').")
            continue
        position = {v: i for i, v in enumerate(values)}
        missing = column.isna().to_numpy()
        given = [None if m else v for v, m in zip(column.tolist(), missing, strict=True)]
        new = sorted({str(v) for v in given if v is not None and v not in position})
        if new:
            raise ValueError(
                f"Found unknown categories {new[:10]} in column {frame.columns[j]!r}: known are {values[:10]}"
            )
        rows[:, j] = [np.nan if v is None else position[v] for v in given]
    return rows


def frame_of(rows: Rows, categories: list[list | None], names: list[str]) -> Any:
    """Rows as a DataFrame with the given column names."""
    import pandas as pd

    columns = {}
    for j, (name, values) in enumerate(zip(names, categories, strict=True)):
        if values is None:
            columns[name] = rows[:, j]
        else:
            columns[name] = [None if np.isnan(v) else values[int(v)] for v in rows[:, j]]
    return pd.DataFrame(columns)
