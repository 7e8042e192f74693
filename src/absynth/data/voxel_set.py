"""Voxels as a data set: shapes as occupancy on a cube, −1 empty to 1 full."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from absynth import pictures
from absynth.data import voxels
from absynth.data.dataset import Split
from absynth.data.shape_set import ShapeSet
from absynth.data.voxel_views import render
from absynth.data.voxels import Voxels
from absynth.errors import InputError
from absynth.report import Picture, ResultTable
from absynth.types import Batch


class VoxelSet(ShapeSet):
    """Shapes ``[n, 1, depth, height, width]`` in [−1, 1]. The arguments are those of :class:`ShapeSet`."""

    kind = "voxels"
    unit = "shapes"
    Stored = Voxels
    dtype = torch.uint8

    def batch(self, index: Tensor) -> Batch:
        return Batch(self.stored.x[index].float() * 2 - 1, y=None if self.labels is None else self.labels[index])

    def contents(self) -> Iterator[Tensor]:
        if self.labels is not None:
            yield self.labels
        yield self.stored.x

    def parse(self, path: Path) -> Tensor:
        """Your own shapes, made coarser to the sides of this set."""
        x = _all(path, self.shape[-1]).x
        if tuple(x.shape[1:]) != self.shape:
            theirs, ours = ("×".join(map(str, s)) for s in (x.shape[2:], self.shape[1:]))
            raise InputError(f"{path}: expected shapes of {ours} voxels as in training, got {theirs}")
        return x.float() * 2 - 1

    def parse_names(self, path: Path, n: int) -> list[str]:
        return list(_all(path, self.shape[-1]).names) or super().parse_names(path, n)

    def summary(self) -> str:
        return f"{super().summary()}; {float(self.stored.x.float().mean()):.1%} of the voxels occupied"

    @staticmethod
    def render(x: Tensor) -> Tensor:
        return render(x)

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """Rendered views, and a turn around the first shapes as an animation."""
        moving, few = file.with_suffix(".gif"), x[:8]
        turn = torch.stack([render(few, azimuth=35.0 + 30 * k, pixels=72) for k in range(12)], 2)
        pictures.animation(turn, moving, columns=4, scale=1, rate=6.0)
        views = super().show(x, file, columns=columns)
        return [*views, {"file": moving.name, "caption": f"A turn around {len(few)} of them; occupied where x > 0"}]


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
        return found.part(part)

    return VoxelSet(read, name, limit=limit, validation=validation)


def published_voxels(reader: Callable[[int, Split], Voxels]) -> Callable[..., VoxelSet]:
    """A reader of a published set of shapes."""
    cached = lru_cache(maxsize=4)(reader)
    name = reader.__name__

    def open(*, size: int = 0, limit: int = 0, validation: float = 0.0) -> VoxelSet:
        return VoxelSet(lambda part: cached(size, part), name, limit=limit, validation=validation)

    return open
