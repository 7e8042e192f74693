"""Coarse-to-fine expansion of a user's own pictures, with the sampler of Zhao et al. 2021 and their code.

K = 15 steps a stage of x + ∇f + s·ε, s from 0.015 to 0 over all stages; as many updates at each resolution but for the
last, the first half of which fade the new one in. What differs: plain convolutions (theirs are residual, under spectral
norm), one rate for all stages where theirs rises by 5e-4 with each from 1e-3, batches of 64 for 256 to 64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.distributions import Uniform
from absynth.networks.growing import GrowingConv
from absynth.recipes._pyramid import PyramidRecipe
from absynth.recipes.recipe import Recipe
from absynth.samplers.multiscale import fading
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class CoarseToFineImages(PyramidRecipe):
    """Coarse-to-fine expansion (Zhao et al. 2021) on your own pictures."""

    resumable: ClassVar[frozenset[str]] = Recipe.resumable - {"steps"}
    """Growth is a share of the updates: another number of them would send a grown model back to an earlier stage."""

    steps: int = 60_000
    noise_scale: float = 0.015
    """s of the first step; it falls to 0 over the steps of all stages."""
    last_share: float = 0.5
    """Share of the updates that the finest stage gets; the others have equal parts of the rest."""

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
        stages, done = len(self.sizes), step / self.steps
        if stages == 1:
            return done
        if done < 1 - self.last_share:
            return done * (stages - 1) / (1 - self.last_share)
        return stages - 1 + (done - (1 - self.last_share)) / self.last_share

    def batches(self, start: int = 0) -> Iterator[Batch]:
        for step, batch in enumerate(super().batches(start), start):
            yield batch._replace(c=torch.full((len(batch.x),), self.growth(step)))
