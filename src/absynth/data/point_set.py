"""Point clouds as a data set."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth.data import points as clouds
from absynth.data import voxels
from absynth.data.dataset import Split
from absynth.data.points import Points
from absynth.data.shape_set import ShapeSet
from absynth.types import Batch


class PointSet(ShapeSet):
    """Clouds ``[n, points, 3]`` in [−1, 1]; the third axis is up. The arguments are those of :class:`ShapeSet`."""

    kind = "points"
    unit = "clouds"
    Stored = Points

    def batch(self, index: Tensor) -> Batch:
        return Batch(self.stored.x[index], y=None if self.labels is None else self.labels[index])

    def parse(self, path: Path) -> Tensor:
        """Your own clouds, of as many points as in training."""
        return clouds.read_all(path, self.shape[0])[0].x

    @staticmethod
    def render(x: Float[Tensor, "n p 3"]) -> Tensor:
        return render(x)


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
        return found.part(part)

    return PointSet(read, name, limit=limit, validation=validation)


def published_clouds(*, points: int = 128, limit: int = 0, validation: float = 0.0) -> PointSet:
    """Points on the surfaces of ModelNet10's chairs and monitors, drawn once, in the splits of their voxels."""

    @lru_cache(maxsize=2)
    def read(part: Split) -> Points:
        shapes = voxels.modelnet10(32, part)
        x = clouds.surface(shapes.x[:, 0], points, seed=SPLIT_SEEDS[part])
        x = x - (x.amax(1, keepdim=True) + x.amin(1, keepdim=True)) / 2
        return Points(x / 16, shapes.y, shapes.class_names)

    return PointSet(read, "modelnet10_points", limit=limit, validation=validation)


SPLIT_SEEDS: dict[str, int] = {"train": 0, "validation": 1, "test": 2}
