"""Cycle-consistent cooperative networks for unpaired translation (Xie et al., AAAI 2021, arXiv:2103.04285).

Two sets of images, ``--data FOLDER_X --data-y FOLDER_Y``, are translated both ways at once. Without a second folder the
second domain is the other half of the first one's images, in negative: a pair whose true map is known, and of which no
image is seen in both forms.

A toy set in the plane is translated to its copy, turned by a sixteenth of a turn and enlarged by half. Of a ring of
eight Gaussians the map is known up to the ring's sixteen symmetries, none of which unpaired examples can tell from
another. The L₁ cycle acts as friction: where two maps undo each other, a step of either costs its weight at once, and
teaching that pulls by less than that moves nothing. At the authors' weight of 10 whole rings stuck between the modes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from absynth.algorithms.cycle_cooperative import CycleCooperative, Domain
from absynth.data import sets
from absynth.data.dataset import Dataset
from absynth.data.image_set import ImageSet
from absynth.data.toy import Turned
from absynth.data.toy_set import ToySet
from absynth.density import EBM
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError
from absynth.networks.conditional import strided_f
from absynth.networks.mlp import mlp_f
from absynth.networks.ready import channels_last
from absynth.networks.translator import Translator, VectorTranslator
from absynth.recipes._cycle import CycleRecipe
from absynth.recipes._fields import ColdChains, ImageOptions
from absynth.recipes.bounds import Count, Natural, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe, absolute
from absynth.seeding import stream
from absynth.types import Batch

OTHER = int.from_bytes(b"other", "big")
"""Separates the order of the second domain's images from the first one's."""

PRESETS = {
    "mnist": Preset(
        minutes=2, recorded="cycle_images", steps=400, batch=32, chain_steps=10, threads=1, checkpoint_every=100,
        energy_width=16, translator_width=8,
    ),
    "wide_ring": Preset(
        minutes=2, recorded="cycle_ring", steps=1000, batch=200, threads=1, cycle_weight=0.1, chain_step_size=0.15,
        temperature=0.25, energy_lr=2e-3, translator_lr=1e-3,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CycleImages(ColdChains, ImageOptions, CycleRecipe):
    """Cycle-consistent cooperative networks between two sets of images, unpaired (Xie et al. 2021)."""

    kinds = ("image",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "translator_width": 4}

    data_y: str = ""
    """Folder or data set of the second domain, of the same side; empty: every second image of --data, in negative."""
    channels_y: Natural = 0
    """Channels of the second domain; found from its images."""
    steps: Count = 20_000
    batch: Count = 50
    energy_width: Count = 32
    translator_width: Count = 32
    """Maps of both translators at full size."""
    chain_steps: Count = 15
    chain_step_size: Positive = math.sqrt(2)
    temperature: NonNegative = 5e-5
    data_noise: NonNegative = 0.03
    cycle_weight: NonNegative = 1.0
    energy_lr: Positive = 1.5e-4
    final_share: Share = 0.2

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, CycleImages)
        channels = found.domain("y").shape[0]
        if self.channels_y not in (0, channels):
            raise InputError(
                f"the second domain has {channels} channels, got --channels-y {self.channels_y}: leave it out"
            )
        return replace(found, data_y=absolute(self.data_y), channels_y=channels)

    def domain(self, which: Domain) -> Dataset:
        """The images of one domain, the training split."""
        if not self.data_y:
            assert isinstance(self.examples, ImageSet)
            return self.examples.half(which == "y", negative=which == "y")
        return self.examples if which == "x" else _second(self.data_y, self.shape[1])

    def translation_source(self, direction: str) -> Dataset:
        return self.domain("x" if direction == "x_to_y" else "y")

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
        x = self.domain("x").batches(self.batch, seed=self.seed, start=start)
        y = self.domain("y").batches(self.batch, seed=self.seed + OTHER, start=start)
        return zip(x, y)

    def held_out(self, n: int) -> Tensor:
        return self.domain("x").split("test").head(n)

    def conditions(self, n: int) -> Tensor | None:
        y = self.domain("y").split("test")
        return y.batch(torch.arange(n) % max(len(y), 1)).x


@lru_cache(maxsize=2)
def _second(source: str, size: int) -> Dataset:
    """The second domain's images, resized to the first one's side and read once per process."""
    options = {} if source in sets.SETS else {"size": size}
    return sets.open(source, kind="image", **options)


@dataclass(frozen=True, kw_only=True)
class CycleVectors(CycleRecipe):
    """Cycle-consistent cooperative networks between a toy set and its rotated, larger copy, unpaired."""

    kinds = ("toy",)
    energy_width: Count = 128
    """Hidden units of each network's two hidden layers."""
    reference_std: Positive = 4.0
    """Standard deviation of both Gaussian references."""
    chain_step_size: Positive = 0.15
    temperature: NonNegative = 0.25

    def resolve(self) -> Recipe:
        found = super().resolve()
        if found.shape != (2,):
            raise InputError(f"cycle translates toy sets in the plane, got examples of shape {list(found.shape)}")
        return found

    def domain(self, which: Domain) -> ToySet:
        """The samples of one domain."""
        assert isinstance(self.examples, ToySet)
        if which == "x":
            return self.examples
        return ToySet(Turned(self.examples.law), f"{self.examples.name}, turned and enlarged")

    def translation_source(self, direction: str) -> Dataset:
        return self.domain("x" if direction == "x_to_y" else "y")

    def algorithm(self) -> CycleCooperative:
        def ebm() -> EBM:
            return EBM(mlp_f(2, self.energy_width, self.energy_activation), StandardNormal(2, std=self.reference_std))

        forth = VectorTranslator(2, self.energy_width)
        back = VectorTranslator(2, self.energy_width).begin_as_inverse_of(forth)
        return CycleCooperative(
            ebm(), ebm(), back, forth, sampler=self.sampler(), teach=self.teaching_weight, cycle=self.cycle_weight,
            data_noise=self.data_noise,
        )  # fmt: skip

    def batches(self, start: int = 0) -> Iterator[tuple[Batch, Batch]]:  # type: ignore[override]
        step = start
        while True:
            x = self.domain("x").sample(self.batch, stream(self.seed, 0, step, 10, 0))
            y = self.domain("y").sample(self.batch, stream(self.seed, 0, step, 10, 1))
            yield Batch(x), Batch(y)
            step += 1

    def conditions(self, n: int) -> Tensor | None:
        return self.domain("y").sample(n, stream(self.seed, 0, 1_000_000, 10, 1))
