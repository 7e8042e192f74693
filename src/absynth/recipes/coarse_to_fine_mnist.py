"""Coarse-to-fine expansion on MNIST: 7×7, 14×14, 28×28, at a size that one CPU core trains in minutes.

The authors' schedule made small: as many updates at each resolution, the first half of which fade the new one in; steps
of x + ∇f + s·ε with s from 0.015 to 0 over all stages. Their width is 32 and their rate 1e-3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.data.images import Images
from absynth.distributions import Uniform
from absynth.networks.growing import GrowingConv
from absynth.networks.mlp import Activation
from absynth.recipes._pictures import PictureRecipe
from absynth.recipes.latent_prior_mnist import read
from absynth.recipes.recipe import Recipe
from absynth.samplers.multiscale import fading
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class CoarseToFineMNIST(PictureRecipe):
    """Coarse-to-fine expansion (Zhao et al. 2021) on MNIST, small networks."""

    size: int = 28
    channels: int = 1
    batch: int = 64
    sizes: ClassVar[tuple[int, ...]] = (7, 14, 28)
    """Resolutions, coarsest first."""
    resumable: ClassVar[frozenset[str]] = Recipe.resumable - {"steps"}
    """Growth is a share of the updates: another number of them would send a grown model back to an earlier stage."""

    steps: int = 1500
    checkpoint_every: int = 100
    width: int = 16
    """Maps of the finest f's first layer."""
    ebm_activation: Activation = "silu"
    """Activation of f; smooth ones are part of the method."""
    chain_steps: int = 15
    """K, Langevin steps a stage."""
    step_size: float = math.sqrt(2)
    """δ of x + (δ²/2)·score + noise; for x + η∇f + s·noise it is √(2η)."""
    noise_scale: float = 0.015
    """s of the first step; it falls to 0 over the steps of all stages."""
    data_noise: float = 0.03
    """Standard deviation of noise added to the data."""
    last_share: float = 0.5
    """Share of the updates that the finest stage gets; the others have equal parts of the rest."""
    lr: float = 3e-4
    """Adam's rate."""
    # As for any short run at a temperature near 0 (see short_run_images): δ²λ is no statement about variance there, f
    # grows before chains follow, and the one remedy is a smaller rate.
    guard_gap: float = 20.0
    guard_stability: float = 100.0
    guard_step_size: float = 1.0
    guard_learning_rate: float = 0.3

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)

    def algorithm(self) -> CoarseToFine:
        f = GrowingConv(self.channels, self.sizes, self.width, self.ebm_activation)
        return CoarseToFine(
            f.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            Uniform(self.channels, self.sizes[0], self.sizes[0]),
            samplers=fading([self.chain_steps] * len(self.sizes), self.step_size, self.noise_scale),
            data_noise=self.data_noise,
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.lr, (0.5, 0.999))}

    def growth(self, step: int) -> float:
        """How far the model has grown at a step: the stage, and what part of the stage is over."""
        stages = len(self.sizes)
        first = (1 - self.last_share) / (stages - 1)
        done = step / self.steps
        if done < 1 - self.last_share:
            return done / first
        return stages - 1 + (done - (1 - self.last_share)) / self.last_share

    def batches(self, start: int = 0) -> Iterator[Batch]:
        for step, batch in enumerate(super().batches(start), start):
            yield Batch(batch.x, torch.full((len(batch.x),), self.growth(step)))

    def tiny(self) -> Recipe:
        return replace(self, steps=6, batch=8, limit=64, width=4, chain_steps=3, log_every=1, checkpoint_every=3)
