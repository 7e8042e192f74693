"""One reader per kind of data: ``reader(source, **options) -> Dataset``, the training split."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from absynth.data import folder, images
from absynth.data.dataset import Dataset
from absynth.data.image_set import ImageSet
from absynth.data.toy_set import ToySet
from absynth.errors import InputError


def published_images(reader: Callable) -> Callable[..., ImageSet]:
    """A reader of a published set of images."""

    def open(*, limit: int = 0) -> ImageSet:
        return ImageSet(partial(reader, images.find_root("", reader.__name__)), reader.__name__, limit=limit)

    return open


def read_images(source: Any, *, size: int = 0, limit: int = 0) -> ImageSet:
    """Images of a folder, an .npz or .npy file, or an array ``[n, H, W]``, ``[n, C, H, W]`` or ``[n, H, W, C]``."""
    if isinstance(source, Path):
        return ImageSet(lambda part: folder.images(source, part, size=size), str(source), limit=limit)
    x, y = source if isinstance(source, tuple) else (source, None)
    return ImageSet(lambda part: folder.from_array(np.asarray(x), part, labels=y, size=size), limit=limit)
