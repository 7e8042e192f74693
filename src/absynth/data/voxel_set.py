"""Voxels as a data set: shapes as occupancy on a cube, −1 empty to 1 full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from absynth import pictures
from absynth.data import voxels
from absynth.data.dataset import Dataset, Split, check_part, mirror_description
from absynth.data.order import set_aside
from absynth.data.voxel_views import render
from absynth.data.voxels import Voxels
from absynth.errors import InputError
from absynth.report import Picture, ResultTable
from absynth.types import Batch

Read = Callable[[Split], Voxels]


class VoxelSet(Dataset):
    """Shapes ``[n, 1, depth, height, width]`` in [−1, 1].

    Args:
        read: ``split -> Voxels``; called once per split.
        name: Name of the set.
        part: The split.
        limit: Number of training shapes to use; 0 uses all.
    """

    kind = "voxels"
    unit = "shapes"

    def __init__(self, read: Read, name: str, part: Split = "train", *, limit: int = 0) -> None:
        check_part(part)
        self._read, self.name, self.part, self.limit = read, name, part, limit
        found = read(part)
        if limit and part == "train":
            found = found.take(torch.arange(min(limit, len(found))))
        self.shapes, self.labels, self.class_names = found, found.y, found.class_names
        self.notes, self.shape = found.notes, tuple(found.x.shape[1:])
        self.examples = len(found) if part == "train" else 0

    def __len__(self) -> int:
        return len(self.shapes)

    def batch(self, index: Tensor) -> Batch:
        return Batch(self.shapes.x[index].float() * 2 - 1, y=None if self.labels is None else self.labels[index])

    def split(self, part: Split) -> VoxelSet:
        if part == self.part:
            return self
        found = VoxelSet(self._read, self.name, part, limit=self.limit)
        found.source, found.examples = self.source, self.examples
        return found

    def contents(self) -> Iterator[Tensor]:
        if self.labels is not None:
            yield self.labels
        yield self.shapes.x

    def names(self, index: Tensor) -> list[str]:
        names = self.shapes.names
        return [names[i] for i in index.tolist()] if names else super().names(index)

    def details(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> VoxelSet:
        y = torch.zeros(0, dtype=torch.long) if description["class_names"] else None
        empty = Voxels(torch.zeros(0, *description["shape"], dtype=torch.uint8), y)
        found = cls(lambda part: empty, description["name"])
        mirror_description(found, description)
        return found

    def parse(self, path: Path) -> Tensor:
        """Your own shapes, made coarser to the sides of this set."""
        x = _all(path, self.shape[-1]).x
        if tuple(x.shape[1:]) != self.shape:
            theirs, ours = ("×".join(map(str, s)) for s in (x.shape[2:], self.shape[1:]))
            raise InputError(f"{path}: expected shapes of {ours} voxels as in training, got {theirs}")
        return x.float() * 2 - 1

    def parse_names(self, path: Path, n: int) -> list[str]:
        return list(_all(path, self.shape[-1]).names) or super().parse_names(path, n)

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("validation", "test")

    def summary(self) -> str:
        return f"{super().summary()}; {float(self.shapes.x.float().mean()):.1%} of the voxels occupied"

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """Rendered views, and a turn around the first shapes as an animation."""
        pictures.grid(render(x[:40]), file, columns=columns, scale=1)
        moving, few = file.with_suffix(".gif"), x[:8]
        turn = torch.stack([render(few, azimuth=35.0 + 30 * k, pixels=72) for k in range(12)], 2)
        pictures.animation(turn, moving, columns=4, scale=1, rate=6.0)
        return [
            {"file": file.name, "caption": f"Views of {min(len(x), 40)} shapes; occupied where x > 0"},
            {"file": moving.name, "caption": f"A turn around {len(few)} of them"},
        ]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        pictures.rows_with_labels({title: render(x[:10]) for title, x in rows.items()}, file, scale=1)
        return [{"file": file.name, "caption": f"From the top: {', '.join(rows)}; occupied where a value is above 0"}]


@lru_cache(maxsize=2)
def _all(path: Path, size: int) -> Voxels:
    return voxels.read_folder(path, size)[0] if path.is_dir() else voxels.read_file(path, size)


def read_voxel_set(source: Any, *, size: int = 0, limit: int = 0, validation: float = 0.0) -> VoxelSet:
    """Voxels: arrays, ``.binvox``, ``.mat``, closed meshes, a folder of them, or an array ``[n, d, h, w]``."""
    splits = None
    if isinstance(source, Path) and source.is_dir():
        found, splits = voxels.read_folder(source, size)
    elif isinstance(source, Path):
        found = voxels.read_file(source, size)
    else:
        x, y = source if isinstance(source, tuple) else (source, None)
        found = voxels.of_arrays(np.asarray(x), y, size, "the array")
    name = source.name if isinstance(source, Path) else "array"

    def read(part: Split) -> Voxels:
        if splits is not None and any(splits.part):
            return found.take(torch.from_numpy(splits.rows(part)))
        return voxels.split_rows(found, part)

    return VoxelSet(_validated(read, validation), name, limit=limit)


def published_voxels(reader: Callable[[int, Split], Voxels]) -> Callable[..., VoxelSet]:
    """A reader of a published set of shapes."""
    cached = lru_cache(maxsize=4)(reader)
    name = reader.__name__

    def open(*, size: int = 0, limit: int = 0, validation: float = 0.0) -> VoxelSet:
        return VoxelSet(_validated(lambda part: cached(size, part), validation), name, limit=limit)

    return open


def _validated(read: Read, share: float) -> Read:
    """A reader whose validation split is a share of its training split; with share 0, its own if it has one."""

    def split(part: Split) -> Voxels:
        if not share or part == "test":
            return read(part)
        found = read("train")
        kept, held = set_aside(len(found), share)
        return found.take(kept if part == "train" else held)

    return split
