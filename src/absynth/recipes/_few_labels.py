"""What recipes share that learn classes from few labels: which labels are used, and batches that hold some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor

from absynth.algorithms.symbol_vector import UNLABELLED
from absynth.data.labels import choose_labelled
from absynth.data.order import minibatches
from absynth.errors import InputError
from absynth.recipes.bounds import Count, Natural
from absynth.recipes.recipe import Recipe
from absynth.seeding import stream
from absynth.types import Batch

_DRAWN = int.from_bytes(b"drawn", "big")  # separates the draw of labelled examples from all other noise


_HOW = {
    "image": "give a folder with one sub-folder per class, or an .npz with labels under y",
    "table": "name the column of classes by --target COLUMN",
    "text": "a file of sentences has no labels, the sets ag_news and yelp have",
}
"""How data of a kind are given classes."""


def require_classes(recipe: Recipe) -> None:
    """Raise an InputError unless the data of a resolved recipe have two classes or more."""
    if recipe.classes < 2:
        raise InputError(
            f"{recipe.name()} needs two classes or more, got {recipe.classes} in {recipe.examples.name}: "
            f"{_HOW.get(recipe.examples.kind, 'give labels')}"
        )


@dataclass(frozen=True, kw_only=True)
class FewLabels(Recipe):
    """Classes from few labels and many unlabelled examples."""

    TINY: ClassVar[Mapping[str, Any]] = {**Recipe.TINY, "batch": 24, "labelled_batch": 8, "labels": 0, "limit": 200}

    target: str = ""
    """Column of a table that holds classes. Defaults to the last one."""
    labels: Natural = 0
    """Number of labels that are used, equally many of each class, chosen by the seed; 0: all that the data have."""
    labelled_batch: Count = 50
    """Labelled examples per batch, drawn with repetition; the rest are unlabelled."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        require_classes(found)
        if not 0 < self.labelled_batch < self.batch:
            raise InputError(f"expected --labelled-batch between 1 and --batch {self.batch}, got {self.labelled_batch}")
        return found

    def labelled_rows(self) -> Int64[Tensor, "labels"]:
        """The training rows whose label is used."""
        y = self.examples.labels
        assert y is not None
        return choose_labelled(y, self.labels, self.classes, self.seed)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        data, known = self.examples, self.labelled_rows()
        y = data.labels
        assert y is not None
        order = minibatches(len(data), self.batch - self.labelled_batch, seed=self.seed, start=start)
        for step, rows in enumerate(order, start):
            rng = stream(self.seed, 0, step, _DRAWN)
            again = known[torch.randint(len(known), (self.labelled_batch,), generator=rng)]
            labels = torch.cat([y[again], torch.full((len(rows),), UNLABELLED)])
            yield Batch(data.batch(torch.cat([again, rows])).x, y=labels)
