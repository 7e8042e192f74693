"""What recipes on a published set of square pictures share: reading, the order of examples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from absynth.data.images import Images
from absynth.data.order import minibatches
from absynth.recipes.recipe import Recipe
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class PictureRecipe(Recipe):
    """An experiment on a data set of known size."""

    size: ClassVar[int]
    """Side of the pictures in pixels."""
    channels: ClassVar[int]
    """1 grey, 3 colour."""

    batch: int = 64
    limit: int = 0
    """Use only the first so many training pictures; 0: all."""

    @abstractmethod
    def read(self, split: Literal["train", "test"]) -> Images:
        """One split of the data set."""

    def images(self, split: Literal["train", "test"]) -> Images:
        """The pictures this recipe trains on, or is tested on."""
        images = self.read(split)
        if not self.limit or split == "test":
            return images
        labels = None if images.labels is None else images.labels[: self.limit]
        return replace(images, x=images.x[: self.limit], labels=labels)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        images = self.images("train")
        order = minibatches(len(images), self.batch, seed=self.seed, start=start)
        return (Batch(images.batch(index)) for index in order)
