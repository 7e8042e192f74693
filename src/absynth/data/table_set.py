"""Tables as a data set: standardized rows, with a class for some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.data import tables
from absynth.data.dataset import Dataset, Split, check_part, encoded, mirror_description
from absynth.data.tables import Table
from absynth.errors import InputError
from absynth.report import Picture, ResultTable
from absynth.types import Batch

_PARTS: dict[str, Any] = {"train": "train", "validation": "valid", "test": "test"}


class TableSet(Dataset):
    """Rows of numbers, each column with mean 0 and standard deviation 1 over the training rows.

    Args:
        table: The whole table.
        part: The split; a fixed fifth of the rows is the test split, a fixed tenth the validation split.
        limit: Number of training rows to use; 0 uses all.
        validation: Share of the rows that are not tested on to set aside; 0 takes the table's own validation split.

    Attributes:
        columns: Name of each column of x; ``name=value`` for one value of a column of words.
        mean: Mean of each column over the training rows, float64.
        scale: Standard deviation of each column, float64; 1 for a constant column.
    """

    kind = "table"
    unit = "rows"

    def __init__(self, table: Table, part: Split = "train", *, limit: int = 0, validation: float = 0.0) -> None:
        check_part(part)
        self.table, self.part, self.limit, self.validation, self.name = table, part, limit, validation, table.name
        self.columns, self.shape = table.columns, (len(table.columns),)
        self.class_names, self.notes = table.classes, table.notes
        rows = table.rows(_PARTS[part], validation)
        if not len(rows) and len(table):
            raise InputError(f"{table.name}: {len(table)} rows leave none for the {part} split: give more")
        if limit and part == "train":
            rows = rows[:limit]
        self.mean, self.scale = table.moments(table.rows("train", validation))
        self.index = rows
        self.labels = table.y[rows] if table.classes else None
        self.examples = len(rows) if part == "train" else 0

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, index: Tensor) -> Batch:
        x = self.standardize(self.table.x[self.index[index]])
        return Batch(x, y=None if self.labels is None else self.labels[index])

    def standardize(self, x: Tensor) -> Tensor:
        """Rows in units of the training rows' standard deviation, about their mean, float32."""
        return ((x.double() - self.mean) / self.scale).float()

    def to_original(self, x: Tensor) -> Tensor:
        """Standardized rows in the original units, float64."""
        return x.double() * self.scale + self.mean

    def split(self, part: Split) -> TableSet:
        if part == self.part:
            return self
        found = TableSet(self.table, part, limit=self.limit, validation=self.validation)
        found.source, found.examples = self.source, self.examples
        return found

    def contents(self) -> Iterator[Tensor]:
        yield encoded(self.columns)
        yield self.index
        yield self.table.x  # of every split, for all of them are standardized and measured together
        yield self.table.y

    def details(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> TableSet:
        details = description["details"]
        columns, classes = tuple(details["columns"]), tuple(description["class_names"])
        empty = Table(
            torch.zeros(0, len(columns)), torch.zeros(0, dtype=torch.long), columns, classes, description["name"]
        )
        found = cls(empty)
        found.mean = torch.tensor(details["mean"], dtype=torch.float64)
        found.scale = torch.tensor(details["scale"], dtype=torch.float64)
        mirror_description(found, description)
        return found

    def parse(self, path: Path) -> Tensor:
        """Rows of another file with the same columns, standardized by this table's training rows."""
        return self.standardize(table_of_file(path, like=self.table).x)

    def parse_names(self, path: Path, n: int) -> list[str]:
        """The first column of a file if this table has none of that name and its values all differ, else numbers."""
        found = tables.row_names(path, self.table)
        return found if len(found) == n else super().parse_names(path, n)

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """The first rows in original units, and two columns as a scatter."""
        rows = self.to_original(x)
        names = self.columns
        pictures.scatter2d(file, {"rows": rows[:, :2].float()}, title=f"{names[0]} and {names[min(1, len(names) - 1)]}")
        table: ResultTable = {
            "caption": "Rows in original units",
            "columns": list(names[:columns]),
            "rows": [[round(v, 4) for v in row[:columns].tolist()] for row in rows[:20]],
        }
        return [{"file": file.name, "caption": f"{len(x)} rows"}, table]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        points = {title: self.to_original(x)[:, :2].float() for title, x in rows.items()}
        pictures.scatter2d(file, points, title="first two columns")
        return [{"file": file.name, "caption": ", ".join(rows)}]

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("validation", "test")

    def summary(self) -> str:
        words = len({c.rpartition("=")[0] for c in self.columns if "=" in c})
        more = f"; {words} columns of words, one per word" if words else ""
        return f"{super().summary()}{more}; columns are standardized"


def table_of_file(path: Path, target: str = "", *, like: Table | None = None, missing: str = "") -> Table:
    """A table of a file, by its suffix; arguments as for :func:`absynth.data.tables.csv_table`.

    Raises:
        InputError: The file cannot be read as a table.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"{path}: expected a table in a file, found none")
    if suffix in (".xlsx", ".xls", ".ods"):
        raise InputError(f"{path}: expected CSV or Parquet, got a spreadsheet: save it as CSV")
    if suffix in (".npz", ".npy"):
        found = tables.arrays_table(path, missing)
        if like is not None and len(found.columns) != len(like.columns):
            raise InputError(f"{path}: expected {len(like.columns)} columns, got {len(found.columns)}")
        return found
    read = tables.parquet_table if suffix in (".parquet", ".pq") else tables.csv_table
    return read(path, target, like=like, missing=missing)
