"""Tables of numbers with a class for some of the rows: a user's CSV, an .npz of X and y, or what scikit-learn carries.

Columns that hold anything but numbers become one column a value. Columns are standardized by their training rows. Of
the rows with a class a fixed fifth is the test set and a fixed tenth is set aside to choose numbers on; rows without a
class all train.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from absynth.data.arrays import load_arrays
from absynth.errors import InputError
from absynth.seeding import stream

Part = Literal["train", "valid", "test"]
UNKNOWN = -1

_SPLIT = int.from_bytes(b"table", "big")


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows as numbers, as found.

    >>> Table(torch.zeros(3, 2), torch.tensor([0, 1, -1]), ("a", "b"), ("no", "yes"), "mine")
    Table(mine: 3 rows of 2 columns, 2 classes, 1 row without)
    """

    x: Float32[Tensor, "n d"]
    y: Int64[Tensor, "n"]
    """Classes, −1 where none is given."""
    columns: tuple[str, ...]
    """Names; ``name=value`` for one value of a column of words."""
    classes: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        without = int((self.y == UNKNOWN).sum())
        rest = f", {without} row{'s' * (without != 1)} without" if without else ""
        shape = f"{len(self)} rows of {len(self.columns)} columns"
        return f"Table({self.name}: {shape}, {len(self.classes)} classes{rest})"

    def rows(self, part: Part) -> Int64[Tensor, "m"]:
        """The rows of a part, the same at every call: see the module's text."""
        known = (self.y != UNKNOWN).nonzero()[:, 0] if self.classes else torch.arange(len(self.y))
        order = known[torch.randperm(len(known), generator=stream(1936, 0, len(known), _SPLIT))]
        test, valid = len(known) // 5, len(known) // 10
        if part == "test":
            return order[:test]
        if part == "valid":
            return order[test : test + valid]
        rest = (self.y == UNKNOWN).nonzero()[:, 0] if self.classes else known[:0]
        return torch.cat([order[test + valid :], rest])

    def standardized(self, x: Float32[Tensor, "m d"]) -> Float32[Tensor, "m d"]:
        """Rows in units of the training rows' spread, about their mean; a constant column becomes 0."""
        train = self.x[self.rows("train")].double()
        std = train.std(0)
        return ((x.double() - train.mean(0)) / std.where(std > 0, torch.ones_like(std))).float()


def carried(name: str) -> Table:
    """``digits``, ``wine`` or ``breast_cancer``: tables that come with scikit-learn, nothing to download."""
    from sklearn import datasets

    found = {"digits": datasets.load_digits, "wine": datasets.load_wine, "breast_cancer": datasets.load_breast_cancer}
    if name not in found:
        raise InputError(f"expected a table of {', '.join(found)} or a file by --data FILE, got {name!r}")
    read = found[name]()
    columns = tuple(map(str, read["feature_names"]))
    classes = tuple(map(str, read["target_names"]))
    return Table(torch.tensor(read["data"]).float(), torch.tensor(read["target"]).long(), columns, classes, name)


def arrays_table(path: Path) -> Table:
    """An ``.npz`` of ``X`` [n, d] and integer classes ``y`` [n], as the ADBench tables are."""
    arrays = load_arrays(path)
    if not {"X", "y"} <= arrays.keys() or arrays["X"].ndim != 2 or arrays["y"].shape != arrays["X"].shape[:1]:
        shapes = {k: v.shape for k, v in arrays.items()}
        raise InputError(f"{path}: expected arrays X [n, d] and y [n], got {shapes}: save them by those names")
    values, y = torch.tensor(arrays["y"]).long().unique(return_inverse=True)
    x = torch.tensor(arrays["X"]).float()
    return Table(x, y, tuple(f"x{i}" for i in range(x.shape[1])), tuple(map(str, values.tolist())), path.name)


def csv_table(path: Path, target: str = "", *, like: Table | None = None) -> Table:
    """A comma-separated file with a header; one column holds classes, in any words, empty where unknown.

    Args:
        path: the file.
        target: name of the column of classes; empty: the last one.
        like: read the same columns and classes as this table's, in its order; then the file need not have the target.

    Raises:
        InputError: no header, a row of another length, an empty cell, a column or value that ``like`` does not know.
    """
    names, rows = _cells(path)
    target = target or (names[-1] if like is None else "")
    if target not in names and like is None:
        raise InputError(f"{path}: expected a column {target!r}, got {', '.join(names[:20])}: give --target NAME")
    if like is not None:
        return _read_like(path, names, rows, target, like)
    given = [row[names.index(target)].strip() for row in rows]
    classes = tuple(sorted(set(given) - {""}, key=lambda v: (_number(v) is None, _number(v) or 0.0, v)))
    if len(classes) < 2:
        raise InputError(f"{path}: expected two classes or more in column {target!r}, got {list(classes)}")
    columns: list[str] = []
    for i, name in enumerate(names):
        if name != target:
            values = {row[i].strip() for row in rows}
            words = any(_number(v) is None for v in values if v)
            columns += [f"{name}={v}" for v in sorted(values - {""})] if words else [name]
    y = torch.tensor([classes.index(v) if v else UNKNOWN for v in given])
    return Table(_numbers(path, names, rows, tuple(columns)), y, tuple(columns), classes, path.name)


def _read_like(path: Path, names: list[str], rows: list[list[str]], target: str, like: Table) -> Table:
    x = _numbers(path, names, rows, like.columns)
    y = torch.full((len(rows),), UNKNOWN)
    if target in names:
        column = names.index(target)
        y = torch.tensor(
            [like.classes.index(v) if (v := row[column].strip()) in like.classes else UNKNOWN for row in rows]
        )
    return Table(x, y, like.columns, like.classes, path.name)


def _numbers(path: Path, names: list[str], rows: list[list[str]], columns: tuple[str, ...]) -> Float32[Tensor, "n d"]:
    """The cells of the wanted columns; ``name=value`` is 1 where the cell holds that value."""
    out = torch.zeros(len(rows), len(columns))
    words: dict[str, set[str]] = {}
    for column in columns:
        name, equals, value = column.rpartition("=")
        if column not in names and equals:
            words.setdefault(name, set()).add(value)
    for j, column in enumerate(columns):
        name = column if column in names else column.rpartition("=")[0]
        if name not in names:
            raise InputError(f"{path}: expected a column {name!r} as in training, got {', '.join(names[:20])}")
        i = names.index(name)
        for k, row in enumerate(rows):
            cell = row[i].strip()
            where = f"{path}, line {k + 2}, column {name!r}"
            if column in names:
                number = _number(cell)
                if number is None:
                    raise InputError(f"{where}: expected a number, got {cell!r}: fill it in or leave the row out")
                out[k, j] = number
            elif cell not in words[name]:
                raise InputError(f"{where}: expected one of {sorted(words[name])[:10]}, got {cell!r}")
            else:
                out[k, j] = float(cell == column.rpartition("=")[2])
    return out


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def _cells(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a comma-separated file in utf-8, got none ({error})") from None
    if len(found) < 2:
        raise InputError(f"{path}: expected a header and rows, got {len(found)} lines")
    names, *rows = [name.strip() for name in found[0]], *found[1:]
    if len(set(names)) < len(names) or not all(names):
        raise InputError(f"{path}: expected a header with a name of its own for each column, got {names[:20]}")
    for k, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise InputError(f"{path}, row {k}: expected {len(names)} cells, got {len(row)}")
    return names, rows


def from_memory(source: object, target: str = "", name: str = "table") -> Table:
    """A table of an array ``[rows, columns]``, a pair ``(X, y)``, or a DataFrame.

    Args:
        source: The rows.
        target: Column of a DataFrame that holds classes; empty: there are none.
        name: What the table is called.

    Raises:
        InputError: The values are not finite numbers, or the shapes do not fit.
    """
    x, y = source if isinstance(source, tuple) else (source, None)
    names: tuple[str, ...] = ()
    columns = getattr(x, "columns", None)
    if columns is not None:
        if target and target not in columns:
            raise InputError(
                f"expected a column {target!r}, got {', '.join(map(str, columns[:20]))}: give another target"
            )
        if target:
            x, y = x.drop(columns=[target]), x[target].to_numpy()  # type: ignore[attr-defined]
        names = tuple(map(str, x.columns))  # type: ignore[attr-defined]
    values = np.asarray(x)
    if values.ndim != 2 or values.dtype.kind not in "buif":
        raise InputError(
            f"expected numbers of shape [rows, columns], got type {values.dtype}, shape {list(values.shape)}"
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"expected finite numbers, got {values[row, column]} in row {row}, column {column}: leave it out"
        )
    found, classes = torch.full((len(values),), UNKNOWN), ()
    if y is not None:
        kinds, numbers = np.unique(np.asarray(y), return_inverse=True)
        found, classes = torch.from_numpy(numbers).long(), tuple(map(str, kinds.tolist()))
        if len(found) != len(values):
            raise InputError(f"expected one label per row, got {len(values)} rows and {len(found)} labels")
    names = names or tuple(f"x{i}" for i in range(values.shape[1]))
    return Table(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)), found, names, classes, name)
