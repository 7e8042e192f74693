"""Images in pairs as a data set: a target given its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.data.dataset import Dataset, Split, check_part, mirror_description
from absynth.data.images import Images
from absynth.data.pairs import Pairs, mirrored
from absynth.report import Picture, ResultTable
from absynth.types import Batch

Read = Callable[[Split], Pairs]


class PairSet(Dataset):
    """Pairs of images: x the target, c the source, both in [−1, 1].

    Args:
        read: ``split -> Pairs``; called once per split.
        name: Name of the set.
        part: The split.
        limit: Number of training pairs to use; 0 uses all. The mirror image of each is added.
    """

    kind = "pairs"
    unit = "pairs"

    def __init__(self, read: Read, name: str = "", part: Split = "train", *, limit: int = 0) -> None:
        check_part(part)
        self._read, self.part, self.limit = read, part, limit
        pairs = read(part)
        if part == "train":
            keep = limit or len(pairs)
            pairs = mirrored(pairs.take(torch.arange(min(keep, len(pairs)))))
        self.pairs, self.name = pairs, name or pairs.target.name
        self.shape, self.source_shape = tuple(pairs.target.x.shape[1:]), tuple(pairs.source.x.shape[1:])
        self.examples = len(pairs) if part == "train" else 0

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, index: Tensor) -> Batch:
        source, target = self.pairs.batch(index)
        return Batch(target, c=source)

    def split(self, part: Split) -> PairSet:
        if part == self.part:
            return self
        found = PairSet(self._read, self.name, part, limit=self.limit)
        found.source, found.examples = self.source, self.examples
        return found

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("validation", "test")

    def contents(self) -> Iterator[Tensor]:
        yield self.pairs.source.tensor()
        yield self.pairs.target.tensor()

    def details(self) -> dict[str, Any]:
        return {"source_shape": list(self.source_shape)}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> PairSet:
        shapes = (description["details"]["source_shape"], description["shape"])
        sides = (Images(torch.zeros(0, *shape, dtype=torch.uint8), None, description["name"]) for shape in shapes)
        empty = Pairs(*sides)
        found = cls(lambda part: empty, description["name"])
        mirror_description(found, description)
        return found

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        pictures.grid(x[:400], file, columns=columns)
        return [{"file": file.name, "caption": f"{min(len(x), 400)} images"}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        pictures.rows_with_labels(rows, file)
        return [{"file": file.name, "caption": f"From the top: {', '.join(rows)}"}]
