"""Symbol-vector coupling on MNIST from 100 labels (Pang and Wu 2021), at a size that a CPU core trains in a minute.

The last 2,000 training pictures are set aside: numbers were chosen on them and nothing learns from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from absynth.data import folder, images
from absynth.data.images import Images, Split
from absynth.distributions import GaussianGenerator
from absynth.networks.mlp import mlp_generator
from absynth.recipes._few_labels import Examples, FewLabels, Part
from absynth.recipes.recipe import Recipe

VALID = 2000


@dataclass(frozen=True, kw_only=True)
class SymbolVectorMNIST(FewLabels):
    """Symbol-vector coupling on MNIST: digits from 100 labels."""

    steps: int = 800
    limit: int = 20_000
    """Use only the first so many training pictures; 0: all but those set aside."""
    std: float = 0.3
    """σ of p(x|z), for pictures in [-1, 1]."""

    def examples(self, part: Part) -> Examples:
        found = read(self.data, part)
        if part != "train" or not self.limit:
            return found
        return found._replace(x=found.x[: self.limit], y=found.y[: self.limit])

    def images(self, split: Split) -> Images:
        """The pictures, for tasks that ask for pictures."""
        return images.mnist(images.find_root(self.data, "mnist"), split)

    def unseen(self, path: Path) -> Tensor:
        return folder.images(path, "all", size=28).all()

    def generator(self, train: Examples) -> GaussianGenerator:
        return GaussianGenerator(mlp_generator(self.latent, self.width, (1, 28, 28)), self.std)

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=24, labelled_batch=8, labels=20, limit=200, latent=4, width=8, nef=8, prior_steps=3,
            posterior_steps=3, log_every=1, checkpoint_every=2,
        )  # fmt: skip


@lru_cache(maxsize=4)
def read(data: str, part: Part) -> Examples:
    """MNIST in [-1, 1], read once a process."""
    found = images.mnist(images.find_root(data, "mnist"), "test" if part == "test" else "train")
    assert found.labels is not None
    cut = len(found) - VALID
    rows = {"train": slice(0, cut), "valid": slice(cut, None), "test": slice(None)}[part]
    return Examples(found.batch(torch.arange(len(found))[rows]), found.labels[rows], tuple(map(str, range(10))))
