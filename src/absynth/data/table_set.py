"""Tables as a data set: standardized rows, with a class for some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.data import tables
from absynth.data.dataset import Dataset, Split, check_part, mirror_description
from absynth.data.tables import Table
from absynth.report import Picture, ResultTable
from absynth.types import Batch

_PARTS: dict[str, Any] = {"train": "train", "validation": "valid", "test": "test"}


class TableSet(Dataset):
    """Rows of numbers, each column with mean 0 and standard deviation 1 over the training rows.

    Args:
        table: The whole table.
        part: The split; a fixed fifth of the rows is the test split, a fixed tenth the validation split.
        limit: Number of training rows to use; 0 uses all.

    Attributes:
        columns: Name of each column of x; ``name=value`` for one value of a column of words.
        mean: Mean of each column over the training rows, float64.
        scale: Standard deviation of each column, float64; 1 for a constant column.
    """

    kind = "table"
    unit = "rows"

    def __init__(self, table: Table, part: Split = "train", *, limit: int = 0) -> None:
        check_part(part)
        self.table, self.part, self.limit, self.name = table, part, limit, table.name
        self.columns, self.shape = table.columns, (len(table.columns),)
        self.class_names = table.classes
        rows = table.rows(_PARTS[part])
        if limit and part == "train":
            rows = rows[:limit]
        train = table.x[table.rows("train")].double() if len(table) else table.x.double()
        self.mean = train.mean(0) if len(train) else torch.zeros(self.shape, dtype=torch.float64)
        scale = train.std(0) if len(train) > 1 else torch.ones(self.shape, dtype=torch.float64)
        self.scale = scale.where(scale > 0, torch.ones_like(scale))
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
        found = TableSet(self.table, part, limit=self.limit)
        found.source, found.examples = self.source, self.examples
        return found

    def contents(self) -> Iterator[Tensor]:
        yield self.table.x[self.index]
        if self.labels is not None:
            yield self.labels

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
        return self.standardize(tables.csv_table(path, like=self.table).x)

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
