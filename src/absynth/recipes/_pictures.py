"""What recipes on square pictures share: reading a set or a user's own, its size, the order of examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from absynth.data import folder
from absynth.data.images import Images
from absynth.data.order import minibatches
from absynth.errors import InputError
from absynth.recipes.recipe import Recipe
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class PictureRecipe(Recipe):
    """An experiment on pictures: a user's own at ``--data``, or a published set where ``read`` says so."""

    size: int = 0
    """Side of the pictures in pixels; 0: as found, all alike."""
    channels: int = 0
    """1 grey, 3 colour; 0: as found."""
    limit: int = 0
    """Use only the first so many training pictures; 0: all."""

    def read(self, split: Literal["train", "test"]) -> Images:
        """One split of the data set: what a recipe on a published set replaces."""
        if not self.data:
            raise InputError("expected --data FOLDER of pictures (or an .npz / .npy of arrays), got none")
        return read_folder(self.data, split, self.size)

    def images(self, split: Literal["train", "test"]) -> Images:
        """The pictures this recipe trains on, or is tested on."""
        images = self.read(split)
        if not self.limit or split == "test":
            return images
        labels = None if images.labels is None else images.labels[: self.limit]
        return replace(images, x=images.x[: self.limit], labels=labels)

    def resolve(self) -> Recipe:
        _, channels, height, width = self.images("train").x.shape
        if height != width:
            raise InputError(f"pictures must be square, got {height}x{width}: --size {min(height, width)} crops them")
        for name, given, found in (("size", self.size, height), ("channels", self.channels, channels)):
            if given not in (0, found):
                raise InputError(f"the data has {name} {found}, got --{name} {given}: leave it out")
        return replace(self, size=height, channels=channels)

    def held_out(self, n: int) -> Tensor:
        test = self.images("test")
        return test.batch(torch.arange(min(n, len(test))))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        images = self.images("train")
        order = minibatches(len(images), self.batch, seed=self.seed, start=start)
        return (Batch(images.batch(index), index=index) for index in order)


@lru_cache(maxsize=4)
def read_folder(path: str, split: Literal["train", "test"], size: int) -> Images:
    """A user's pictures, read once a process."""
    return folder.images(Path(path), split, size=size)
