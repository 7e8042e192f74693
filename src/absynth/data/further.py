"""Examples of your own beside an open data set, in the form that its model takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from absynth.data.dataset import Dataset, Split
from absynth.errors import InputError
from absynth.report import Picture, ResultTable
from absynth.types import Batch


class FurtherExamples(Dataset):
    """A file or folder read as the training data are: with their vocabulary, their columns and their scaling.

    Everything else, such as the vocabulary or how examples are shown, is that of the training data.

    Args:
        known: The training data.
        path: A file or folder of the same kind.

    Raises:
        InputError: There is no such file, or it does not fit the training data.
        Unsupported: Data of this kind have no reader of further examples.
    """

    def __init__(self, known: Dataset, path: str | Path) -> None:
        place = Path(path).expanduser()
        if not place.exists():
            raise InputError(f"expected a file or folder of {known.kind} data, got {place}, which does not exist")
        self.known, self.x = known, known.parse(place)
        if not len(self.x):
            raise InputError(f"expected {known.unit} in {place}, got none")
        self.kind, self.unit, self.name, self.source = known.kind, known.unit, place.name, str(place)  # type: ignore[misc]
        self.part, self.shape, self.examples, self.class_names = "validation", known.shape, known.examples, ()

    def __getattr__(self, name: str) -> Any:
        if name == "known":  # not there yet: a copy that is being made
            raise AttributeError(name)
        return getattr(self.known, name)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> Batch:
        return Batch(self.x[index])

    def split(self, part: Split) -> Dataset:
        return self if part == "validation" else self.known.split(part)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> FurtherExamples:
        raise InputError(f"expected data that can be rebuilt from {description['name']}, got further examples of them")

    def details(self) -> dict[str, Any]:
        return self.known.details()

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        return self.known.show(x, file, columns=columns)

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        return self.known.compare(rows, file)
