"""Unpaired translation between two sets of images, both ways at once.

``--data FOLDER_X --data-y FOLDER_Y``. Without a second folder the second domain is the other half of the first one's
images, in negative: a pair whose true map is known, and of which no image is seen in both forms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from absynth.algorithms.cycle_cooperative import CycleCooperative, Domain
from absynth.data import sets
from absynth.data.dataset import Dataset, Split
from absynth.density import EBM
from absynth.distributions import Uniform
from absynth.errors import InputError
from absynth.networks.conditional import strided_f
from absynth.networks.mlp import Activation
from absynth.networks.ready import channels_last
from absynth.networks.translator import Translator
from absynth.recipes._cycle import CycleRecipe
from absynth.recipes.bounds import Count, Natural, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.types import Batch

OTHER = int.from_bytes(b"other", "big")
"""Separates the order of the second domain's images from the first one's."""

PRESETS = {
    "mnist": Preset(
        minutes=2, recorded="cycle_images", steps=400, batch=32, chain_steps=10, threads=1, checkpoint_every=100,
        energy_width=16, translator_width=8,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CycleImages(CycleRecipe):
    """Cycle-consistent cooperative networks between two sets of images, unpaired (Xie et al. 2021)."""

    kinds = ("image",)
    TINY: ClassVar[dict[str, Any]] = {
        **Recipe.TINY, "limit": 64, "energy_width": 4, "translator_width": 4, "chain_steps": 3
    }  # fmt: skip

    size: Natural = 0
    """Side of your images in pixels; 0 leaves them as found."""
    channels: Natural = 0
    """1 grey, 3 colour; 0 leaves them as found."""
    data_y: str = ""
    """Folder or data set of the second domain, resized to the first; empty: half of --data, in negative."""
    channels_y: Natural = 0
    """Channels of the second domain; found from its images."""
    dataset_y: Dataset | None = field(default=None, repr=False, compare=False)
    """The second data set, open (not a flag)."""
    steps: Count = 20_000
    batch: Count = 50
    energy_width: Count = 32
    """Maps of both energy networks' first convolution."""
    energy_activation: Activation = "silu"
    """Activation of both energy networks."""
    translator_width: Count = 32
    """Maps of both translators at full size."""
    chain_steps: Count = 15
    chain_step_size: Positive = math.sqrt(2)
    temperature: NonNegative = 5e-5
    data_noise: NonNegative = 0.03
    """Standard deviation of noise added to what the EBMs see, about that of the chains; less is less stable."""
    cycle_weight: NonNegative = 1.0
    energy_lr: Positive = 1.5e-4
    final_share: Share = 0.2
    guard_step_size: Positive = 1.0
    guard_difference: Positive = 20.0
    guard_stability: Positive = 100.0

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, CycleImages)
        if found.channels_y and found.dataset_y is None and not len(found.examples):
            return found  # on the stand-in of a trained run
        other = sets.open(self.data_y, kind="image", size=found.shape[1]) if self.data_y else found.negative("train")
        channels = other.shape[0]
        if self.channels_y not in (0, channels):
            raise InputError(
                f"the second domain has {channels} channels, got --channels-y {self.channels_y}: leave it out"
            )
        return replace(found, channels_y=channels, dataset_y=other)

    def negative(self, split: Split) -> Half:
        """Every second image of a split, in negative."""
        return Half(self.examples.split(split), 1, negative=True)

    def domain(self, which: Domain, split: Literal["train", "test"]) -> Dataset | Half:
        """The images of one domain."""
        if which == "x":
            whole = self.examples.split(split)
            return whole if self.data_y else Half(whole, 0)
        if not self.data_y:
            return self.negative(split)
        assert self.dataset_y is not None
        return self.dataset_y.split(split)

    def algorithm(self) -> CycleCooperative:
        size = self.shape[1]

        def ebm(channels: int) -> EBM:
            f = nn.Sequential(*strided_f(channels, size, self.energy_width, self.energy_activation), nn.Flatten(0))
            return EBM(channels_last(f), Uniform(channels, size, size))

        x, y = self.shape[0], self.channels_y
        return CycleCooperative(
            ebm(x), ebm(y), Translator(y, x, self.translator_width), Translator(x, y, self.translator_width),
            sampler=self.sampler(), teach=self.teaching_weight, cycle=self.cycle_weight, data_noise=self.data_noise,
        )  # fmt: skip

    def batches(self, start: int = 0) -> Iterator[tuple[Batch, Batch]]:  # type: ignore[override]
        x = self.domain("x", "train").batches(self.batch, seed=self.seed, start=start)
        y = self.domain("y", "train").batches(self.batch, seed=self.seed + OTHER, start=start)
        return zip(x, y)

    def conditions(self, n: int) -> Tensor | None:
        y = self.domain("y", "test")
        return y.batch(torch.arange(n) % max(len(y), 1)).x


class Half:
    """Every second example of a set of images, if wanted in negative.

    Args:
        whole: The set.
        first: 0 for the even examples, 1 for the odd ones.
        negative: Whether values change sign.
    """

    def __init__(self, whole: Dataset, first: int, *, negative: bool = False) -> None:
        self.whole, self.sign = whole, -1 if negative else 1
        self.rows = torch.arange(first, len(whole), 2)
        self.shape, self.name = whole.shape, f"{whole.name} in negative" if negative else whole.name
        self.labels = None if whole.labels is None else whole.labels[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Tensor) -> Batch:
        """The examples at ``index`` of this half."""
        found = self.whole.batch(self.rows[index])
        return found._replace(x=self.sign * found.x)

    def head(self, n: int) -> Tensor:
        """The first n examples."""
        return self.batch(torch.arange(min(n, len(self)))).x

    def all(self) -> Tensor:
        """Every example."""
        return self.head(len(self))

    def batches(self, size: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        """Endless minibatches in an order that follows from (seed, epoch)."""
        from absynth.data.order import minibatches

        return (self.batch(index) for index in minibatches(len(self), size, seed=seed, start=start))
