"""Labels of a building's front to its photo by cooperative learning; or any pictures in pairs.

Xie et al. 2021 at 64×64 and small widths (128×128 and 64 maps there). ``--data`` is the folder of data sets
that holds facades; or a folder of one's own pairs side by side, the source left; or, with ``--targets``, two folders
under the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from torch import Tensor

from absynth.data import pairs
from absynth.data.images import Images, Split, find_root
from absynth.data.order import minibatches
from absynth.data.pairs import Pairs
from absynth.recipes._sources import SourceRecipe
from absynth.recipes.recipe import Recipe
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class Facades(SourceRecipe):
    """Conditional cooperative learning, labels to photos of facades, or your own pairs of pictures."""

    targets: str = ""
    """Folder of the targets, where --data is one of sources; empty: pairs side by side."""
    size: int = 64
    """Side of the pictures in pixels, which both of a pair are resized to."""
    steps: int = 350
    batch: int = 20
    threads: int = 1
    checkpoint_every: int = 175
    truth: float = 0.5
    chain_steps: int = 10
    temperature: float = 5e-6
    data_noise: float = 0.01
    ebm_lr: float = 5e-5
    """Adam's rate for f; where the truth holds the drafts back, a faster f leaves its chains behind."""
    generator_lr: float = 1e-3
    ebm_width: int = 16
    generator_width: int = 16

    def pairs(self, split: Split) -> Pairs:
        """The pairs, those of training together with their mirror images."""
        found = read(self.data, self.targets, split, self.size)
        keep = self.limit if split == "train" and self.limit else len(found)
        found = Pairs(*(replace(i, x=i.x[:keep], labels=None) for i in (found.source, found.target)))
        return pairs.mirrored(found) if split == "train" else found

    def read(self, split: Literal["train", "test"]) -> Images:
        return self.pairs(split).target

    def images(self, split: Literal["train", "test"]) -> Images:
        return self.read(split)

    @property
    def source_channels(self) -> int:
        return self.pairs("train").source.x.shape[1]

    def source(self, x: Tensor) -> Tensor:
        return x

    def inputs(self, split: Split) -> Images:
        return self.pairs(split).source

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = self.pairs("train")
        for index in minibatches(len(found), self.batch, seed=self.seed, start=start):
            source, target = found.batch(index)
            yield Batch(target, source)

    def tiny(self) -> Recipe:
        return replace(super().tiny(), limit=8)  # type: ignore[type-var]


@lru_cache(maxsize=4)
def read(data: str, targets: str, split: Split, size: int) -> Pairs:
    """The pairs that --data and --targets name, read once a process."""
    if targets:
        return pairs.two_folders(Path(data), Path(targets), split, size)
    if data and not any((Path(data) / name).is_dir() for name in ("facades", "train")):
        return pairs.side_by_side(Path(data), split, size)
    return pairs.facades(find_root(data, "facades"), split, size)
