"""Arrays of several .npy files as one, mapped into memory when their rows are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

OPEN = 64
"""Files of an array that are open at once: an operating system allows a thousand or so."""


class JoinedArray:
    """Arrays of one shape and type, joined along the first axis. It reads rows and has no other operation.

    Args:
        paths: Their files.
        lengths: How many rows each has.
        read: Maps a file into memory.

    Attributes:
        shape: Shape of the whole.
        dtype: Type of its numbers.
    """

    def __init__(self, paths: Sequence[Path], lengths: Sequence[int], read: Callable[[Path], np.ndarray]) -> None:
        self.paths, self.lengths, self._read = list(paths), list(lengths), read
        self._opened = lru_cache(OPEN)(read)
        self._ends = np.cumsum(self.lengths)
        first = self._opened(self.paths[0])
        self.shape, self.dtype = (int(self._ends[-1]), *first.shape[1:]), first.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Copies of the rows, in their order."""
        rows = np.arange(len(self))[rows]
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        place = np.searchsorted(self._ends, rows, side="right")
        for k in np.unique(place):
            at = place == k
            out[at] = self._opened(self.paths[k])[rows[at] - (self._ends[k] - self.lengths[k])]
        return out

    def map(self, view: Callable[[np.ndarray], np.ndarray]) -> JoinedArray:
        """The same array with its axes in another order, or other views of its rows."""
        return JoinedArray(self.paths, self.lengths, lambda path: view(self._read(path)))
