"""Unpaired translation between a user's two folders of pictures, both ways at once.

``--data FOLDER_X --data_y FOLDER_Y``. Without a second folder the second domain is the other half of the first one's
pictures, in negative: a pair whose true map is known, and of which no picture is seen in both forms. Chains move as
those of :mod:`absynth.recipes.short_run_images` do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from absynth.algorithms.cycle_cooperative import CycleCooperative, Domain
from absynth.data.images import Images
from absynth.data.order import minibatches
from absynth.density import EBM
from absynth.distributions import Uniform
from absynth.errors import InputError
from absynth.networks.conditional import strided_f
from absynth.networks.mlp import Activation
from absynth.networks.translator import Translator
from absynth.recipes._cycle import CycleRecipe
from absynth.recipes._pictures import PictureRecipe, read_folder
from absynth.recipes.recipe import Recipe
from absynth.types import Batch

OTHER = int.from_bytes(b"other", "big")
"""Keeps the order of the second domain's pictures apart from the first one's."""


@dataclass(frozen=True, kw_only=True)
class CycleImages(CycleRecipe, PictureRecipe):
    """Cycle-consistent cooperative networks between your own two folders of pictures, unpaired."""

    data_y: str = ""
    """Folder of the second domain's pictures, brought to the first one's size; empty: half of --data, in negative."""
    channels_y: int = 0
    """Of the second domain; 0: as found."""
    steps: int = 20_000
    batch: int = 50
    checkpoint_every: int = 500
    ebm_width: int = 32
    """Maps of both f's first convolution."""
    ebm_activation: Activation = "silu"
    """Activation of both f."""
    translator_width: int = 32
    """Maps of both translators at full size."""
    chain_steps: int = 15
    step_size: float = math.sqrt(2)
    temperature: float = 5e-5
    data_noise: float = 0.03
    """Standard deviation of noise added to what the EBMs see, about that of the chains; less is less stable."""
    cycle: float = 1.0
    ebm_lr: float = 1.5e-4
    translator_lr: float = 5e-4
    decay: float = 0.2
    guard_step_size: float = 1.0
    """Forbidden here: K shorter steps reach less far, and a chain that cannot follow f diverges the faster."""
    guard_gap: float = 20.0
    """A gap below this is never trouble: f grows before chains follow."""
    guard_stability: float = 100.0
    """Out of the way: δ²λ tells how wide a chain samples in equilibrium, which a cold short one never comes near."""

    def domain(self, which: Domain, split: Literal["train", "test"]) -> Images:
        """The pictures of one domain."""
        if self.data_y:
            return self.images(split) if which == "x" else read_folder(self.data_y, split, self.size)
        whole = self.images(split)
        rows = torch.arange(0 if which == "x" else 1, len(whole), 2)  # every other picture: none is in both
        labels = None if whole.labels is None else whole.labels[rows]
        half = replace(whole, x=whole.x[rows], labels=labels)
        return half if which == "x" else replace(half, name=f"{half.name} in negative", low=half.high, high=half.low)

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, CycleImages)
        channels = found.domain("y", "train").x.shape[1]
        if self.channels_y not in (0, channels):
            raise InputError(
                f"the second domain has {channels} channels, got --channels_y {self.channels_y}: leave it out"
            )
        return replace(found, channels_y=channels)

    def algorithm(self) -> CycleCooperative:
        def ebm(channels: int) -> EBM:
            f = nn.Sequential(*strided_f(channels, self.size, self.ebm_width, self.ebm_activation), nn.Flatten(0))
            return EBM(f.to(memory_format=torch.channels_last), Uniform(channels, self.size, self.size))  # type: ignore[call-overload]

        x, y = self.channels, self.channels_y
        return CycleCooperative(
            ebm(x), ebm(y), Translator(y, x, self.translator_width), Translator(x, y, self.translator_width),
            sampler=self.sampler(), teach=self.teach, cycle=self.cycle, data_noise=self.data_noise,
        )  # fmt: skip

    def batches(self, start: int = 0) -> Iterator[Batch]:
        x, y = self.domain("x", "train"), self.domain("y", "train")
        orders = zip(
            minibatches(len(x), self.batch, seed=self.seed, start=start),
            minibatches(len(y), self.batch, seed=self.seed + OTHER, start=start),
        )
        return (Batch(x.batch(i), y.batch(j)) for i, j in orders)

    def conditions(self, n: int) -> Tensor | None:
        y = self.domain("y", "test")
        return y.batch(torch.arange(n) % len(y))

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, limit=64, ebm_width=4, translator_width=4, chain_steps=3, log_every=1,
            checkpoint_every=2,
        )  # fmt: skip
