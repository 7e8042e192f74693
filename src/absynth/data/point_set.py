"""Point clouds as a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.data import points as clouds
from absynth.data import voxels
from absynth.data.dataset import Dataset, Split, check_part, mirror_description
from absynth.data.order import set_aside
from absynth.data.points import Points
from absynth.errors import InputError
from absynth.report import Picture, ResultTable
from absynth.types import Batch

Read = Callable[[Split], Points]


class PointSet(Dataset):
    """Clouds ``[n, points, 3]`` in [−1, 1]; the third axis is up.

    Args:
        read: ``split -> Points``; called once per split.
        name: Name of the set.
        part: The split.
        limit: Number of training clouds to use; 0 uses all.
    """

    kind = "points"
    unit = "clouds"

    def __init__(self, read: Read, name: str, part: Split = "train", *, limit: int = 0) -> None:
        check_part(part)
        self._read, self.name, self.part, self.limit = read, name, part, limit
        found = read(part)
        if limit and part == "train":
            found = found.take(torch.arange(min(limit, len(found))))
        self.clouds, self.labels, self.class_names = found, found.y, found.class_names
        self.shape = tuple(found.x.shape[1:])
        self.examples = len(found) if part == "train" else 0

    def __len__(self) -> int:
        return len(self.clouds)

    def batch(self, index: Tensor) -> Batch:
        return Batch(self.clouds.x[index], y=None if self.labels is None else self.labels[index])

    def split(self, part: Split) -> PointSet:
        if part == self.part:
            return self
        found = PointSet(self._read, self.name, part, limit=self.limit)
        found.source, found.examples = self.source, self.examples
        return found

    def names(self, index: Tensor) -> list[str]:
        names = self.clouds.names
        return [names[i] for i in index.tolist()] if names else super().names(index)

    def details(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> PointSet:
        y = torch.zeros(0, dtype=torch.long) if description["class_names"] else None
        empty = Points(torch.zeros(0, *description["shape"]), y)
        found = cls(lambda part: empty, description["name"])
        mirror_description(found, description)
        return found

    def parse(self, path: Path) -> Tensor:
        """Your own clouds, of as many points as in training."""
        return clouds.read_all(path, self.shape[0])[0].x

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("validation", "test")

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        pictures.grid(render(x[:40]), file, columns=columns, scale=1)
        return [{"file": file.name, "caption": f"Views of {min(len(x), 40)} clouds"}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        pictures.rows_with_labels({title: render(x[:10]) for title, x in rows.items()}, file, scale=1)
        return [{"file": file.name, "caption": f"From the top: {', '.join(rows)}"}]


def render(x: Float[Tensor, "n p 3"], pixels: int = 72) -> Float[Tensor, "n 1 pixels pixels"]:
    """Clouds seen from the side and a little above, near points darker."""
    turn, lift = torch.tensor(35.0).deg2rad(), torch.tensor(20.0).deg2rad()
    a, b = x[..., 0] * turn.cos() - x[..., 1] * turn.sin(), x[..., 0] * turn.sin() + x[..., 1] * turn.cos()
    up, depth = x[..., 2] * lift.cos() + b * lift.sin(), b * lift.cos() - x[..., 2] * lift.sin()
    column = ((a / 1.5 + 1) / 2 * (pixels - 2)).round().long().clamp(0, pixels - 2)
    row = ((1 - up / 1.5) / 2 * (pixels - 2)).round().long().clamp(0, pixels - 2)
    image = x.new_ones(len(x), pixels * pixels)
    dark = (-0.6 + 0.5 * depth).clamp(-1, 0.4)
    for offset in (0, 1, pixels, pixels + 1):  # a point is 2×2 pixels
        image.scatter_reduce_(1, row * pixels + column + offset, dark, "amin")
    return image.view(len(x), 1, pixels, pixels)


def read_point_set(source: Any, *, points: int = 0, limit: int = 0, validation: float = 0.0) -> PointSet:
    """Clouds: ``.npy``, ``.npz``, ``.ply``, ``.xyz``, a folder of them, or an array ``[n, points, 3]``."""
    splits = None
    if isinstance(source, Path):
        found, splits = clouds.read_all(source, points)
        name = source.name
    else:
        x, y = source if isinstance(source, tuple) else (source, None)
        found, name = clouds.of_array(np.asarray(x), y, points, "the array"), "array"

    def read(part: Split) -> Points:
        if splits is not None and any(splits.part):
            return found.take(torch.from_numpy(splits.rows(part)))
        return clouds.split_rows(found, part)

    return PointSet(_validated(read, validation), name, limit=limit)


def published_clouds(*, points: int = 128, limit: int = 0, validation: float = 0.0) -> PointSet:
    """Points on the surfaces of ModelNet10's chairs and monitors, drawn once, in the splits of their voxels."""

    @lru_cache(maxsize=2)
    def read(part: Split) -> Points:
        shapes = voxels.modelnet10(32, part)
        x = clouds.surface(shapes.x[:, 0], points, seed=SPLIT_SEEDS[part])
        x = x - (x.amax(1, keepdim=True) + x.amin(1, keepdim=True)) / 2
        return Points(x / 16, shapes.y, shapes.class_names)

    return PointSet(_validated(read, validation), "modelnet10_points", limit=limit)


SPLIT_SEEDS: dict[str, int] = {"train": 0, "validation": 1, "test": 2}


def _validated(read: Read, share: float) -> Read:
    """A reader whose validation split is a share of its training split; with share 0, its own if it has one."""

    def split(part: Split) -> Points:
        if not share or part == "test":
            return read(part)
        found = read("train")
        kept, held = set_aside(len(found), share)
        if not len(kept):
            raise InputError("expected --validation to leave clouds for training, got none: give a smaller share")
        return found.take(kept if part == "train" else held)

    return split
