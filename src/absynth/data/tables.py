"""Tables of numbers with a class for some of the rows: files, arrays and DataFrames, or what scikit-learn carries.

Columns that hold words become one column per value, dates become days since 1970. Numbers stay as they are until
:class:`absynth.data.table_set.TableSet` standardizes them. Of the rows with a class a fixed fifth is the test set and a
fixed tenth is set aside to choose numbers on; rows without a class all train.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor

from absynth.data import labels
from absynth.data.arrays import splits_of
from absynth.data.cells import LARGEST, Sheet, read_sheet
from absynth.data.columns import NO_TARGET, NONE, find_target, leave_out, numbers_in, numbers_of, set_marks, values_of
from absynth.data.forms import uses_decimal_comma
from absynth.data.frames import require_digits, sheet_of_columns, sheet_of_frame
from absynth.errors import InputError
from absynth.seeding import stream

Part = Literal["train", "valid", "test"]
UNKNOWN = labels.UNKNOWN

_SPLIT = int.from_bytes(b"table", "big")
_CODES: dict[str, int] = {"train": 0, "valid": 1, "validation": 1, "test": 2}
_COMMAS = ("decimal comma", "thousands comma", "thousands dot", "thousands space")
_SLAB = 1 << 16  # rows looked at together


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows as numbers, as found.

    >>> Table(torch.zeros(3, 2), torch.tensor([0, 1, -1]), ("a", "b"), ("no", "yes"), "mine")
    Table(mine: 3 rows of 2 columns, 2 classes, 1 row without)
    """

    x: Shaped[Tensor, "n d"]
    """In the type they were found in: float64 of a file."""
    y: Int64[Tensor, "n"]
    """Classes, −1 where none is given."""
    columns: tuple[str, ...]
    """Names; ``name=value`` for one value of a column of words."""
    classes: tuple[str, ...]
    name: str
    target: str = ""
    """Name of the column of classes."""
    notes: tuple[str, ...] = ()
    """What was found or left out, one phrase each."""
    part: Int64[Tensor, "n"] | None = None
    """Split of each row where the data say: 0 train, 1 validation, 2 test."""

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        without = int((self.y == UNKNOWN).sum())
        rest = f", {without} row{'s' * (without != 1)} without" if without else ""
        shape = f"{len(self)} rows of {len(self.columns)} columns"
        return f"Table({self.name}: {shape}, {len(self.classes)} classes{rest})"

    def rows(self, part: Part, validation: float = 0.0) -> Int64[Tensor, "m"]:
        """The rows of a part, the same at every call: see the module's text.

        Args:
            part: "train", "valid" or "test".
            validation: Share of the rows outside of the test set that is set aside; 0 takes a tenth of all.
        """
        if self.part is not None:
            return self._given(part, validation)
        known = (self.y != UNKNOWN).nonzero()[:, 0] if self.classes else torch.arange(len(self.y))
        order = known[torch.randperm(len(known), generator=stream(1936, 0, len(known), _SPLIT))]
        test = len(known) // 5
        valid = round((len(known) - test) * validation) if validation else len(known) // 10
        if part == "test":
            return order[:test]
        if part == "valid":
            return order[test : test + valid]
        rest = (self.y == UNKNOWN).nonzero()[:, 0] if self.classes else known[:0]
        return torch.cat([order[test + valid :], rest])

    def _given(self, part: Part, validation: float) -> Int64[Tensor, "m"]:
        assert self.part is not None
        found = (self.part == _CODES[part]).nonzero()[:, 0]
        if part == "test" and not len(found):
            return (self.part == _CODES["valid"]).nonzero()[:, 0]
        if part == "test" or not validation:
            return found
        train = (self.part == 0).nonzero()[:, 0]
        order = train[torch.randperm(len(train), generator=stream(1936, 0, len(train), _SPLIT))]
        held = round(len(train) * validation)
        return order[:held] if part == "valid" else order[held:]

    def moments(self, rows: Int64[Tensor, "m"]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each column over these rows, float64; the latter is 1 for a constant column.

        A slab of rows at a time, so that a large table is never copied.
        """
        n = len(rows)
        zero = torch.zeros(self.x.shape[1], dtype=torch.float64)
        if n < 2:
            return (self.x[rows].double().mean(0) if n else zero), zero + 1
        mean = sum((self.x[some].double().sum(0) for some in rows.split(_SLAB)), zero) / n
        far = zero  # squares are taken in units of it: those of tiny numbers are none
        for some in rows.split(_SLAB):
            far = torch.maximum(far, (self.x[some].double() - mean).abs().amax(0))
        unit = far.where(far > 0, zero + 1)
        squares = sum((((self.x[some].double() - mean) / unit).square().sum(0) for some in rows.split(_SLAB)), zero)
        scale = unit * (squares / (n - 1)).sqrt()
        tiny = scale <= 1e-13 * mean.abs()  # rounding of a constant column
        constant = tiny | (scale == 0)
        return mean.where(~constant, self.x[rows[0]].double()), scale.where(~constant, torch.ones_like(scale))

    def standardized(self, x: Shaped[Tensor, "m d"]) -> Float32[Tensor, "m d"]:
        """Rows in units of the training rows' spread, about their mean; a constant column becomes 0."""
        mean, scale = self.moments(self.rows("train"))
        return ((x.double() - mean) / scale).float()


def carried(name: str) -> Table:
    """``digits``, ``wine`` or ``breast_cancer``: tables that come with scikit-learn, nothing to download."""
    from sklearn import datasets

    found = {"digits": datasets.load_digits, "wine": datasets.load_wine, "breast_cancer": datasets.load_breast_cancer}
    if name not in found:
        raise InputError(f"expected a table of {', '.join(found)} or a file by --data FILE, got {name!r}")
    read = found[name]()
    columns = tuple(map(str, read["feature_names"]))
    classes = tuple(map(str, read["target_names"]))
    return Table(torch.tensor(read["data"]), torch.tensor(read["target"]).long(), columns, classes, name)


def arrays_table(path: Path, missing: str = "") -> Table:
    """An ``.npz`` of examples ``X`` [n, d] and classes ``y`` [n], with or without splits, or an ``.npy`` of examples.

    Raises:
        InputError: There are no such arrays, or their shapes do not fit.
    """
    parts = splits_of(path, (2,))
    shapes = {part: x.shape[1:] for part, (x, _) in parts.items()}
    if any(x.ndim != 2 for x, _ in parts.values()) or len(set(shapes.values())) > 1:
        got = ", ".join(f"{part} {list(x.shape)}" for part, (x, _) in parts.items())
        raise InputError(f"{path}: expected arrays X [n, d] and y [n], got {got}: save them by those names")
    if any(y is not None and len(y) != len(x) for x, y in parts.values()):
        got = {part: [list(x.shape), None if y is None else list(y.shape)] for part, (x, y) in parts.items()}
        raise InputError(f"{path}: expected arrays X [n, d] and y [n], got {got}: save one label per row")
    several = len(parts) > 1
    x = np.concatenate([x for x, _ in parts.values()]) if several else next(iter(parts.values()))[0]
    ys = [np.full(len(x), -1) if y is None else np.asarray(y).reshape(len(x), -1)[:, 0] for x, y in parts.values()]
    y = np.concatenate(ys) if any(y is not None for _, y in parts.values()) else None
    codes = np.concatenate([np.full(len(x), _CODES[part]) for part, (x, _) in parts.items()]) if several else None
    return _of_numbers(x, y, path.name, missing, codes)


def csv_table(path: Path, target: str = "", *, like: Table | None = None, missing: str = "") -> Table:
    """A file of cells with a header; one column may hold classes, in any words, empty where unknown.

    Args:
        path: The file (:mod:`absynth.data.cells` has what it may look like).
        target: Name of the column of classes; empty: the last one if it holds words or is called class, label, y ...;
            "none": no column holds classes.
        like: Read the same columns and classes as this table's, in its order; then the file need not have the target.
        missing: Marks of missing values, apart by commas, "empty" for an empty cell; rows that have one are left out.

    Raises:
        InputError: A row of another length, a cell that does not fit, a column or value that ``like`` does not know.
    """
    return of_sheet(read_sheet(path), target, path.name, like=like, missing=missing)


def parquet_table(path: Path, target: str = "", *, like: Table | None = None, missing: str = "") -> Table:
    """A Parquet file; arguments as for :func:`csv_table`.

    Raises:
        InputError: pandas and pyarrow are not installed, or the file cannot be read.
    """
    frame = _parquet_frame(path)
    return of_sheet(sheet_of_frame(frame, str(path)), target, path.name, like=like, missing=missing)


def _parquet_frame(path: Path) -> Any:
    try:
        import pandas
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError("Parquet needs pandas and pyarrow: pip install 'absynth[tables]', or save as CSV") from None
    try:
        return pandas.read_parquet(path)
    except Exception as error:  # pyarrow raises all kinds on damaged files
        raise InputError(f"{path}: expected a Parquet file, got {' '.join(str(error).split())}") from None


def row_names(path: Path, like: Table) -> list[str]:
    """The index of a DataFrame's file, or a first column that ``like`` does not have and whose values all differ."""
    if path.suffix.lower() in (".npz", ".npy"):
        return []
    if path.suffix.lower() in (".parquet", ".pq"):
        frame = _parquet_frame(path)
        if type(frame.index).__name__ != "RangeIndex":
            return [str(name) for name in frame.index]
        sheet = sheet_of_frame(frame, str(path))
    else:
        sheet = read_sheet(path)
    known = {like.target, *like.columns, *(c.rpartition("=")[0] for c in like.columns)}
    if sheet.names[0] in known:
        return []
    names = [f"{v:g}" if isinstance(v, float) else v for v in sheet.columns[0].tolist()]
    return names if len(set(names)) == len(names) and all(names) else []


def from_memory(source: object, target: str = "", name: str = "table", *, missing: str = "") -> Table:
    """A table of an array ``[rows, columns]``, a pair ``(X, y)``, or a DataFrame.

    Args:
        source: The rows.
        target: Column of a DataFrame that holds classes; empty: the last one if it holds words or is called y ...
        name: What the table is called.
        missing: As for :func:`csv_table`.

    Raises:
        InputError: The values are not finite numbers, or the shapes do not fit.
    """
    x, y = source if isinstance(source, tuple) else (source, None)
    values: Any = x if hasattr(x, "columns") else np.asarray(x)
    if not hasattr(x, "columns") and values.dtype.names:  # a structured array
        values = {column: values[column] for column in values.dtype.names}
        sheet = sheet_of_columns(list(values), list(values.values()), "the array")
    elif hasattr(x, "columns"):
        sheet = sheet_of_frame(values, "the DataFrame")
    elif values.ndim == 2 and values.dtype.kind in "OUS":
        sheet = sheet_of_columns([f"x{i}" for i in range(values.shape[1])], list(values.T), "the array")
    else:
        return _of_numbers(values, y, name, missing)
    if y is None:
        return of_sheet(sheet, target, name, missing=missing)
    found = of_sheet(sheet, NO_TARGET, name, missing=missing)
    given = labels.number(y, len(sheet), "row")
    if len(found) != len(sheet):
        raise InputError("rows with missing values cannot be left out where labels are given apart: put both in one")
    return Table(found.x, given.y, found.columns, given.names, name, "", (*found.notes, *given.notes))


def of_sheet(sheet: Sheet, target: str, name: str, *, like: Table | None = None, missing: str = "") -> Table:
    """A table of a sheet; arguments as for :func:`csv_table`."""
    marks = set_marks(sheet, missing)
    decimal = uses_decimal_comma(sheet.columns)
    if like is not None:
        return _read_like(sheet, target, like, marks, decimal)
    if target == NONE and NONE not in sheet.names:
        target = NO_TARGET
    if target and target != NO_TARGET and target not in sheet.names:
        raise InputError(
            f"{sheet.source}: expected a column {target!r}, got {', '.join(sheet.names[:20])}: give --target NAME"
        )
    target = target or find_target(sheet, decimal)
    values = {n: values_of(sheet, n, c, decimal) for n, c in zip(sheet.names, sheet.columns) if n != target}
    sheet, values = leave_out(sheet, values, marks)
    x, columns = numbers_of(sheet, values)
    if not columns:
        raise InputError(f"{sheet.source}: expected a column beside {target!r}, got none: is the separator unusual?")
    forms = {form: [n for n, v in values.items() if v.form == form] for form in ("date", *_COMMAS)}
    notes = tuple(sheet.notes) + tuple(
        f"{'days since 1970' if form == 'date' else form + ' read'} in {', '.join(found[:5])}"
        for form, found in forms.items()
        if found
    )
    y, classes = torch.full((len(sheet),), UNKNOWN), ()
    if target in sheet.names:
        y, classes, found = _classes(sheet, target)
        notes = (*notes, f"classes in column {target!r} ({_few(classes)})", *found)
    return Table(x, y, columns, classes, name, target if classes else "", notes)


def _classes(sheet: Sheet, target: str) -> tuple[Tensor, tuple[str, ...], tuple[str, ...]]:
    cells = sheet.columns[sheet.names.index(target)]
    try:
        found = labels.number(cells, len(sheet), "row")
    except InputError as error:
        raise InputError(f"{sheet.source}, column {target!r}: {error}, or give --target NAME") from None
    if len(found.names) < 2:
        raise InputError(
            f"{sheet.source}: expected two classes or more in column {target!r}, got {list(found.names)}: "
            f"give --target NAME, with {NONE!r} for the name if no column holds classes"
        )
    return found.y, found.names, found.notes


def _few(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:6]) + (f" and {len(classes) - 6} more" if len(classes) > 6 else "")


def _read_like(sheet: Sheet, target: str, like: Table, marks: set[str], decimal: bool | None) -> Table:
    """The columns of another table, in its order."""
    wanted: dict[str, list[str]] = {}
    for column in like.columns:
        name, equals, word = column.rpartition("=")
        if column in sheet.names or not equals:
            wanted[column] = []
        else:
            wanted.setdefault(name, []).append(word)
    for name in wanted:
        if name not in sheet.names:
            got = ", ".join(sheet.names[:20])
            raise InputError(
                f"{sheet.source}: expected a column {name!r} as in training, got {got}: name the columns as there"
            )
    values = {
        name: values_of(sheet, name, sheet.columns[sheet.names.index(name)], decimal)
        for name, words in wanted.items()
        if not words
    }
    sheet, values = leave_out(sheet, values, marks, like=True)
    x = torch.zeros(len(sheet), len(like.columns), dtype=torch.float64)
    for j, column in enumerate(like.columns):
        if column in values:
            x[:, j] = torch.from_numpy(values[column].numbers)
            continue
        name, _, word = column.rpartition("=")
        cells = sheet.columns[sheet.names.index(name)]
        unknown = ~np.isin(cells, wanted[name])
        if unknown.any():
            first = int(np.argmax(unknown))
            raise InputError(
                f"{sheet.source}, {sheet.places[first]}, column {name!r}: expected one of {sorted(wanted[name])[:10]}, "
                f"got {str(cells[first])!r}"
            )
        x[:, j] = torch.from_numpy((cells == word).astype(np.float64))
    y = torch.full((len(sheet),), UNKNOWN)
    if target in sheet.names:
        number = {name: i for i, name in enumerate(like.classes)}
        y = torch.tensor([number.get(str(v), UNKNOWN) for v in sheet.columns[sheet.names.index(target)]])
    return Table(x, y, like.columns, like.classes, Path(sheet.source).name, like.target, tuple(sheet.notes))


def _of_numbers(x: np.ndarray, y: object, name: str, missing: str = "", part: np.ndarray | None = None) -> Table:
    """A table of an array of numbers, which is not copied if its type allows."""
    if x.ndim != 2 or x.dtype.kind not in "buif":
        raise InputError(f"expected numbers of shape [rows, columns], got type {x.dtype}, shape {list(x.shape)}")
    if not x.size:
        raise InputError(f"expected rows of numbers, got an empty array of shape {list(x.shape)}")
    found = labels.Labels(torch.full((len(x),), UNKNOWN), ())
    if y is not None:
        found = labels.number(y, len(x), "row")
    require_digits(x, name)
    gone = np.zeros(len(x), dtype=bool)
    marks = {mark.strip().lower() for mark in missing.split(",")} - {""}
    numbers = numbers_in(marks)
    for begin in range(0, len(x) if numbers else 0, _SLAB):
        gone[begin : begin + _SLAB] = np.isin(x[begin : begin + _SLAB], numbers).any(1)
    for begin in range(0, len(x) if x.dtype.kind == "f" else 0, _SLAB):
        slab = x[begin : begin + _SLAB]
        bad = ~(np.abs(slab) <= min(LARGEST, float(np.finfo(slab.dtype).max)))
        gone[begin : begin + _SLAB] |= bad.any(1)
        if bad.any() and not marks & labels.MARKS:
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"expected finite numbers, got {slab[row, column]} in row {begin + row}, column {column}: correct it, "
                "or --missing_value nan leaves such rows out"
            )
    notes = found.notes
    if gone.any():
        kept = np.flatnonzero(~gone)
        x, part = x[kept], None if part is None else part[kept]
        found = found._replace(y=found.y[torch.from_numpy(kept)])
        notes = (*notes, f"{int(gone.sum())} of {len(gone)} rows left out (missing values)")
    if x.dtype.byteorder not in "=|" or x.dtype.kind in "bu" or not x.flags.writeable or x.dtype.itemsize > 8:
        x = x.astype(np.float32 if x.dtype.itemsize <= 2 else np.float64)
    columns = tuple(f"x{i}" for i in range(x.shape[1]))
    codes = None if part is None else torch.from_numpy(part.astype(np.int64))
    return Table(torch.from_numpy(x), found.y, columns, found.names, name, "", notes, codes)
