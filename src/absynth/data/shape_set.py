"""What sets of shapes share, whether these are clouds of points or voxels: stored shapes with classes, and splits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from absynth import pictures
from absynth.data.dataset import Dataset, Split, check_part, mirror_description
from absynth.data.listing import split_by_name
from absynth.data.order import validated
from absynth.report import Picture, ResultTable

S = TypeVar("S", bound="Shapes")


@dataclass(frozen=True)
class Shapes:
    """Shapes of a split, as they are stored.

    Attributes:
        x: The shapes.
        y: Classes, int64 with −1 for none, or None.
        class_names: Name of each class.
        names: Name of each shape; empty for rows of an array.
        notes: What was left out, one phrase each.
    """

    x: Tensor
    y: Tensor | None = None
    class_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def take(self: S, rows: Tensor) -> S:
        """Some of the shapes, in this order."""
        names = tuple(self.names[i] for i in rows.tolist()) if self.names else ()
        return replace(self, x=self.x[rows], y=None if self.y is None else self.y[rows], names=names)

    def part(self: S, part: Split) -> S:
        """A split of shapes that have none of their own, by a hash of their names or indices."""
        names = self.names or [str(i) for i in range(len(self))]
        return self.take(torch.from_numpy(split_by_name(list(names), part)))


class ShapeSet(Dataset):
    """A set of shapes. A subclass gives :meth:`Dataset.batch`, the stored class, and how a shape is rendered.

    Args:
        read: ``split -> Shapes``; called once per split.
        name: Name of the set.
        part: The split.
        limit: Number of training shapes to use; 0 uses all.
        validation: Share of the training split that is the validation split; 0 takes the set's own, if it has one.
    """

    Stored: ClassVar[type[Shapes]]
    dtype: ClassVar[torch.dtype] = torch.float32
    """Type in which shapes are stored."""

    def __init__(
        self,
        read: Callable[[Split], Any],
        name: str,
        part: Split = "train",
        *,
        limit: int = 0,
        validation: float = 0.0,
    ) -> None:
        check_part(part)
        self._read = validated(read, validation, Shapes.take)
        self.name, self.part, self.limit = name, part, limit
        found = self._read(part)
        if limit and part == "train":
            found = found.take(torch.arange(min(limit, len(found))))
        self.stored, self.labels, self.class_names = found, found.y, found.class_names
        self.notes, self.shape = found.notes, tuple(found.x.shape[1:])
        self.examples = len(found) if part == "train" else 0

    @staticmethod
    @abstractmethod
    def render(x: Tensor) -> Tensor:
        """Views of shapes as images ``[n, 1, height, width]``."""

    def __len__(self) -> int:
        return len(self.stored)

    def split(self, part: Split) -> ShapeSet:
        if part == self.part:
            return self
        found = type(self)(self._read, self.name, part, limit=self.limit)
        found.source, found.examples = self.source, self.examples
        return found

    def names(self, index: Tensor) -> list[str]:
        names = self.stored.names
        return [names[i] for i in index.tolist()] if names else super().names(index)

    def details(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> ShapeSet:
        y = torch.zeros(0, dtype=torch.long) if description["class_names"] else None
        empty = cls.Stored(torch.zeros(0, *description["shape"], dtype=cls.dtype), y)
        found = cls(lambda part: empty, description["name"])
        mirror_description(found, description)
        return found

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("validation", "test")

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        pictures.grid(self.render(x[:40]), file, columns=columns, scale=1)
        return [{"file": file.name, "caption": f"Views of {min(len(x), 40)} {self.unit}"}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        pictures.rows_with_labels({title: self.render(x[:10]) for title, x in rows.items()}, file, scale=1)
        return [{"file": file.name, "caption": f"From the top: {', '.join(rows)}"}]
