"""Maximum likelihood learning of an EBM of images: short-run, persistent, contrastive divergence.

The numbers are those of the paper (Nijkamp, Hill, Zhu, Wu, NeurIPS 2019, arXiv:1904.09770) and its authors' code: 100
steps of x + ∇f + 0.01·ε from uniform noise, which is Langevin with δ = √2 at temperature 5e-5, so f / 5e-5 is the log
density that is sampled; no reference; width 64, data noise 0.03, Adam at 1e-4. Here the activation is smooth by
default, for its bounded curvature. The preset of MNIST is smaller: K = 30 for 100, 1,200 updates for 100,000, width 32
behind a first convolution that halves the side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from absynth.algorithms.improved_contrastive_divergence import ImageMoves, ImprovedContrastiveDivergence
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.errors import InputError
from absynth.gaussian import Gaussian
from absynth.networks import ready
from absynth.networks.ready import Network
from absynth.recipes._fields import ColdChains, FinalShare, ImageOptions
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive
from absynth.recipes.maximum_likelihood._chains import MaximumLikelihoodRecipe
from absynth.recipes.presets import Preset
from absynth.seeding import Streams, uniform_like
from absynth.types import Batch

HIDDEN = int.from_bytes(b"hide", "big")
"""Separates the choice of the hidden pixels of an image from all other noise of a seed."""

_SMALL: dict[str, Any] = {
    "steps": 1200, "checkpoint_every": 100, "energy_width": 32, "stem": 2, "chain_steps": 30, "data_noise": 0.05,
    "energy_lr": 5e-4, "final_share": 0.5,
}  # fmt: skip

PRESETS = {
    "mnist": Preset(minutes=5, recorded="short_run_mnist", **_SMALL),
    "fashion_mnist": Preset(minutes=5, **_SMALL),
    "cifar10/paper": Preset(source="Nijkamp et al. 2019 and their code", steps=100_000, energy_activation="leaky_relu"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodImages(FinalShare, ColdChains, ImageOptions, MaximumLikelihoodRecipe):
    """Energy-based model of images by maximum likelihood with short-run or persistent chains (Nijkamp et al. 2019)."""

    kinds = ("image",)

    steps: Count = 50_000
    batch: Count = 64
    learning: Literal["maximum_likelihood", "improved_cd"] = "maximum_likelihood"
    """Improved contrastive divergence (Du et al. 2021) adds its two terms, and moves in the replay buffer."""
    energy_network: Network = "conv"
    """Energy network: convolutions, or fully connected, which is far cheaper for small images."""
    stem: Literal[1, 2] = 1
    """Stride of f's first convolution; 2 is several times as fast, and lets f be wider."""
    chain_steps: Count = 100
    missing: Decay = 0.0
    """Share of the pixels that are hidden, always the same ones of an image: learning from incomplete data."""
    data_noise: NonNegative = 0.03
    beta1: Decay = 0.9
    guard_retries: Natural = 12
    """Roll-backs before training stops; the first and every second one only draws another random stream."""
    guard_learning_rate: Positive = 0.3
    """Factor on the learning rate, the one mitigation of a short run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learning == "improved_cd" and self.start != "persistent":
            raise InputError(f"improved_cd needs a replay buffer, got --start {self.start}: add --start persistent")

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start)
        return map(self.hide, found) if self.missing else found

    def hide(self, batch: Batch) -> Batch:
        """The batch with a share of its pixels unseen; which follow from (seed, image) alone."""
        assert batch.index is not None
        u = uniform_like(batch.x[:, :1], Streams(self.seed ^ HIDDEN, batch.index.tolist()))
        mask = (u >= self.missing).to(batch.x.dtype).expand_as(batch.x)
        return batch._replace(x=batch.x * mask, mask=mask)

    def algorithm(self) -> MaximumLikelihood:
        f = ready.energy(
            "image", self.shape, self.energy_width, act=self.energy_activation, network=self.energy_network,
            stem=self.stem,
        )  # fmt: skip
        return self._of(f, 1.0)

    def _gaussian(self) -> Gaussian:
        """That of what is seen of the training images, by expectation maximization where pixels are missing."""
        if not self.missing or not len(self.examples):
            return super()._gaussian()
        x = self.examples.all()
        seen = self.hide(Batch(x, index=torch.arange(len(x))))
        assert seen.mask is not None
        return Gaussian.fit_incomplete(seen.x, seen.mask)

    def _learning(self) -> Callable[..., MaximumLikelihood]:
        if self.learning == "improved_cd":
            return partial(ImprovedContrastiveDivergence, moves=ImageMoves())
        return MaximumLikelihood
