"""DataFrames and structured arrays as sheets of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from absynth.data.cells import Sheet
from absynth.errors import InputError


def sheet_of_frame(frame: Any, source: str) -> Sheet:
    """A sheet of a DataFrame of pandas or polars.

    Raises:
        InputError: Two columns have one name, or a column holds neither numbers, words nor dates.
    """
    names = list(frame.columns)
    if len({str(name) for name in names}) < len(names):
        raise InputError(
            f"{source}: expected a name of its own for each column, got {[str(n) for n in names[:20]]}: rename one"
        )
    return sheet_of_columns([str(n) for n in names], [frame[n].to_numpy() for n in names], source)


def sheet_of_columns(names: Sequence[str], columns: Sequence[np.ndarray], source: str) -> Sheet:
    """A sheet of arrays, one per column.

    Raises:
        InputError: There are no rows, or a column holds neither numbers, words nor dates.
    """
    found = [_cells(name, np.asarray(column), source) for name, column in zip(names, columns)]
    if not found or not len(found[0]):
        raise InputError(f"{source}: expected rows, got none")
    return Sheet(list(names), found, [f"row {i}" for i in range(len(found[0]))], source, [])


def _cells(name: str, column: np.ndarray, source: str) -> np.ndarray:
    """Strings, or float64 with NaN where a value is missing."""
    if column.dtype.kind == "b":  # words, as in a file of text
        return column.astype(str)
    if column.dtype.kind in "uif":
        require_digits(column, f"{source}, column {name!r}")
        return column.astype(np.float64)
    if column.dtype.kind == "M":  # days since 1970
        days = column.astype("datetime64[ns]").astype(np.int64) / 86_400e9
        return np.where(np.isnat(column), np.nan, days)
    if column.dtype.kind == "m":  # seconds
        seconds = column.astype("timedelta64[ns]").astype(np.int64) / 1e9
        return np.where(np.isnat(column), np.nan, seconds)
    if column.dtype.kind in "US":
        return np.char.strip(column.astype(str))
    if column.dtype.kind != "O" or column.ndim != 1:
        raise InputError(f"{source}, column {name!r}: expected numbers, words or dates, got type {column.dtype}")
    missing = np.array([is_missing(value) for value in column], dtype=bool)
    given = column[~missing]
    bools = [isinstance(value, bool | np.bool_) for value in given]
    if not all(bools) and all(isinstance(value, int | float | np.number | np.bool_) for value in given):
        out = np.full(len(column), np.nan)
        out[~missing] = given.astype(np.float64)
        return out
    if any(isinstance(value, list | tuple | dict | set | np.ndarray | bytes) for value in given):
        raise InputError(f"{source}, column {name!r}: expected numbers, words or dates, got {type(given[0]).__name__}")
    return np.array(["" if gone else str(value).strip() for value, gone in zip(column, missing)], dtype=str)


def require_digits(column: np.ndarray, where: str) -> None:
    """Raise an InputError if whole numbers that differ would be one number in float64."""
    if column.dtype.kind not in "ui" or column.dtype.itemsize < 8 or not column.size:
        return
    if max(int(column.max()), -int(column.min())) <= 2**53:
        return
    kinds = np.unique(column)
    if len(np.unique(kinds.astype(np.float64))) < len(kinds):
        raise InputError(
            f"{where}: expected numbers of at most 16 digits, got {kinds[-1]} among others that differ from it in "
            "further ones: subtract a constant, or remove the column"
        )


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN or a mark of pandas."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # pandas.NA has no truth value; an array has several
        return not isinstance(value, np.ndarray)
