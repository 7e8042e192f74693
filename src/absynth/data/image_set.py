"""Images as a data set: published sets, a folder, an array in a file or in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.data import folder
from absynth.data.arrays import with_channels
from absynth.data.dataset import HASHED_BYTES, Dataset, Split, check_part, encoded, mirror_description
from absynth.data.decode import SUFFIXES, DecodedImages, read_pictures
from absynth.data.images import Images
from absynth.data.members import bytes_of
from absynth.errors import InputError
from absynth.report import Picture, ResultTable
from absynth.types import Batch

Read = Callable[[Split], Images]
_COUNTED = 1 << 28  # of larger sets, other splits are not opened to count them
_HASHED = 500  # images that are decoded when they are used are fingerprinted by about so many


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


class ImageSet(Dataset):
    """Images in [−1, 1], ``[n, channels, height, width]``.

    Args:
        read: ``split -> Images``; called once per split.
        source: What the user named.
        part: The split.
        limit: Number of training images to use; 0 uses all.
    """

    kind = "image"
    unit = "images"

    def __init__(self, read: Read, source: str = "", part: Split = "train", *, limit: int = 0) -> None:
        check_part(part)
        self._read, self.source, self.part, self.limit = read, source, part, limit
        images = read(part)
        if limit and part == "train":
            images = images.take(torch.arange(min(limit, len(images))))
        self.images = images
        self.name, self.labels, self.shape = images.name, images.labels, tuple(images.x.shape[1:])
        self.low, self.high = images.low, images.high
        self.examples = len(images) if part == "train" else 0
        if self.labels is not None:
            count = 1 + int(self.labels.max()) if len(self.labels) else 0
            self.class_names = images.class_names or tuple(map(str, range(count)))
        self.notes = images.notes

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, index: Tensor) -> Batch:
        return Batch(self.images.batch(index), y=None if self.labels is None else self.labels[index])

    def split(self, part: Split) -> ImageSet:
        if part == self.part:
            return self
        found = ImageSet(self._read, self.source, part, limit=self.limit)
        found.examples = self.examples
        return found

    def half(self, second: bool, *, negative: bool = False) -> ImageSet:
        """Every second image of every split, from the first or the second on, if wanted in negative."""

        def read(part: Split) -> Images:
            images = self.split(part).images
            labels = None if images.labels is None else images.labels[second::2]
            half = replace(images, x=images.x[second::2], labels=labels)
            return replace(half, name=f"{half.name} in negative", low=half.high, high=half.low) if negative else half

        return ImageSet(read, self.source)

    def contents(self) -> Iterator[Tensor]:
        if self.labels is not None:
            yield self.labels
        x = self.images.x
        if isinstance(x, Tensor):
            yield x
            return
        yield encoded((str(len(x)), *self.images.names))
        if isinstance(x, DecodedImages):
            yield torch.tensor([bytes_of(path) for path in x.paths])
            yield x[torch.arange(0, len(x), max(1, len(x) // _HASHED))]
        else:  # an array that is read in place
            most = max(_HASHED, HASHED_BYTES // (x.shape[1:].numel() * x.dtype.itemsize))
            yield x[torch.linspace(0, len(x) - 1, min(len(x), most)).round().long()]

    def names(self, index: Tensor) -> list[str]:
        names = self.images.names
        return [names[i] for i in index.tolist()] if names else super().names(index)

    @property
    def stored_as_bytes(self) -> bool:
        """Whether pixels are 8-bit, so that a likelihood can be given in bits per dimension."""
        return self.images.x.dtype == torch.uint8

    def details(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "bytes": self.stored_as_bytes}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> ImageSet:
        details = description["details"]
        dtype = torch.uint8 if details["bytes"] else torch.float32
        x = torch.zeros(0, *description["shape"], dtype=dtype)
        labels = torch.zeros(0, dtype=torch.long) if description["class_names"] else None
        empty = Images(x, labels, description["name"], details["low"], details["high"])
        found = cls(lambda part: empty, description["source"])
        mirror_description(found, description)
        return found

    def parse(self, path: Path) -> Tensor:
        """An image, or those of a folder or an array file, resized to the size of this set and scaled as it is."""
        if _is_image(path):
            pixels = read_pictures([path], size=self.shape[-1])
            theirs = Images(with_channels(pixels, self.shape[0]), None, path.stem)
        else:
            theirs = folder.images(path, "all", size=self.shape[-1], channels=self.shape[0])
        if tuple(theirs.x.shape[1:]) != self.shape:
            raise InputError(
                f"images must be {self.shape} (channels, height, width) as in training, got {tuple(theirs.x.shape[1:])}"
            )
        return replace(theirs, low=self.low, high=self.high).all()

    def parse_names(self, path: Path, n: int) -> list[str]:
        return [path.name] if _is_image(path) else folder.names(path) or super().parse_names(path, n)

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        pictures.grid(x[:400], file, columns=columns)
        return [{"file": file.name, "caption": f"{min(len(x), 400)} images"}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        pictures.rows_with_labels(rows, file)
        return [{"file": file.name, "caption": f"From the top: {', '.join(rows)}"}]

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("validation", "test") if self.images.x.shape.numel() < _COUNTED else {}

    def summary(self) -> str:
        scale = f"values {self.low:g} to {self.high:g} become -1 to 1"
        return f"{super().summary()}; {scale}"
