"""Columns of numbers and categories as a matrix for networks, and back.

Numbers come first, standardized, then one block of zeros and ones for each categorical column: the layout that
:class:`absynth.algorithms.perturbations.MixedColumns` perturbs. A missing entry is NaN until :meth:`Columns.fill`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from absynth.data.labels import MARKS
from absynth.data.layouts import is_number

MAX_CATEGORIES = 100
FARTHEST = 1e15  # standard deviations from the mean that a number counts for at most; its square fits into float32
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
            raise ValueError(
                f"column {int((~known.any(0)).argmax())} has no value in the rows of positive weight: leave it out"
            )
        w = weights[:, None] * known
        total = w.sum(0)
        values = np.where(known, rows, 0.0)
        # In units of a power of two, so that squares of the largest and the smallest numbers are numbers too.
        unit = np.exp2(np.frexp(np.abs(values).max(0))[1] - 1.0)
        values = values / unit
        mean = (w * values).sum(0) / total
        std = np.sqrt((w * known * (values - mean) ** 2).sum(0) / total)
        constant = (std <= 1e-12 * np.abs(mean)) | (std == 0)
        mean, std = mean * unit, np.where(constant, 1.0, std * unit)
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
        with np.errstate(over="ignore"):
            parts = [((rows - self.mean) / self.std)[:, self.numeric].clip(-FARTHEST, FARTHEST)]
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
    return [_categories(name, frame.iloc[:, position]) for position, name in enumerate(frame.columns)]


def _categories(name: Any, column: Any) -> list | None:
    if column.dtype.kind in "iuf":
        return None
    if column.dtype.kind in "mM" or str(column.dtype).startswith("period"):
        raise ValueError(f"column {name!r} holds dates: expected numbers or categories, give days since a date")
    values = column[~column.isna()].tolist()
    for value in values:
        if not isinstance(value, str | int | float | np.number | np.bool_):
            raise TypeError(
                f"column {name!r}: argument must be a string or a number, got {type(value).__name__}: "
                "write it as numbers or words, or leave the column out"
            )
    kinds = {bool if isinstance(v, bool | np.bool_) else str if isinstance(v, str) else float for v in values}
    if kinds == {bool} or (not values and column.dtype.kind == "b"):
        return [False, True]
    if column.dtype == object and values and kinds == {float}:
        return None
    distinct = list(dict.fromkeys(values))
    if kinds == {str}:
        _refuse_marked_numbers(name, values)
    if len(distinct) > MAX_CATEGORIES or (len(distinct) == len(values) > 20):
        raise ValueError(
            f"column {name!r} has {len(distinct)} different values that are not numbers: expected at most "
            f"{MAX_CATEGORIES} categories, leave the column out or encode it"
        )
    return sorted(distinct, key=lambda v: (isinstance(v, str), v))


def _refuse_marked_numbers(name: Any, values: list[str]) -> None:
    """Refuse numbers as text because of a mark of missing values among them: they are no categories."""
    marks = {v for v in values if v.strip().lower() in MARKS}
    if marks and all(is_number(v) for v in set(values) - marks):
        count, some = sum(v in marks for v in values), ", ".join(map(repr, sorted(marks)[:3]))
        raise ValueError(
            f"column {name!r} has {count} of {len(values)} values that are not numbers ({some}): expected NaN for a "
            "missing value, write NaN there and convert the column to numbers"
        )


def rows_of(frame: Any, categories: list[list | None]) -> Rows:
    """A DataFrame's rows, categories as positions."""
    rows = np.empty((len(frame), len(categories)))
    for j, values in enumerate(categories):
        column, name = frame.iloc[:, j], frame.columns[j]
        if values is None:
            if column.dtype.kind not in "biuf":
                for value in column[~column.isna()]:
                    if not isinstance(value, int | float | np.number | np.bool_):
                        raise ValueError(f"column {name!r}: expected numbers as in fit, got {value!r}: write a number")
            rows[:, j] = column.astype(float).to_numpy(dtype=float, na_value=np.nan)
            if np.isinf(rows[:, j]).any():
                raise ValueError(
                    f"Input X contains infinity or a value too large for dtype('float64'). Column {name!r} has "
                    f"{int(np.isinf(rows[:, j]).sum())} such values: correct them, or write NaN there"
                )
            continue
        position = {v: i for i, v in enumerate(values)}
        missing = column.isna().to_numpy()
        given = [None if m else v for v, m in zip(column.tolist(), missing, strict=True)]
        new = sorted({str(v) for v in given if v is not None and v not in position})
        if new:
            raise ValueError(
                f"Found unknown categories {new[:10]} in column {name!r}: known are {values[:10]}, leave such rows "
                "out, write NaN there, or fit on rows that have them"
            )
        rows[:, j] = [np.nan if v is None else position[v] for v in given]
    return rows


def dtypes_of(frame: Any) -> list[str]:
    """The dtype of each column of a DataFrame, as pandas writes it."""
    return [str(dtype) for dtype in frame.dtypes]


def frame_of(
    rows: Rows, categories: list[list | None], names: list[str], *, dtypes: list[Any] | None = None, index: Any = None
) -> Any:
    """Rows as a DataFrame.

    Args:
        rows: Numbers and positions of categories, NaN where missing.
        categories: Of each column, or None for numbers.
        names: Of the columns.
        dtypes: What columns become where their values fit: numbers are rounded for a dtype of whole numbers.
        index: Of the DataFrame.
    """
    import pandas as pd

    columns = {}
    for j, (name, values) in enumerate(zip(names, categories, strict=True)):
        cells = rows[:, j] if values is None else [None if np.isnan(v) else values[int(v)] for v in rows[:, j]]
        dtype = None if dtypes is None else dtypes[j]
        columns[name] = _as_dtype(pd.Series(cells, index=index), dtype, values)
    return pd.DataFrame(columns, index=index)


def _as_dtype(column: Any, dtype: Any, values: list | None) -> Any:
    """A column in a dtype, if that can hold it."""
    import pandas as pd

    if dtype is None:
        return column
    if str(dtype) == "category" and isinstance(dtype, str):
        dtype = pd.CategoricalDtype(values) if values else None
    whole = str(dtype).lower().startswith(("int", "uint"))
    try:
        return (column.round() if whole else column).astype(dtype)
    except (TypeError, ValueError):  # a missing entry where the dtype has none, or a number beyond its range
        return column
