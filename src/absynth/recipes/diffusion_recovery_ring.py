"""Diffusion recovery likelihood on eight Gaussians in the plane: four levels, and long-run chains keep their law.

Noise levels 0.05 to 0.95 in geometric progression, K = 15 steps of 0.15 of the level's noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.data.toy import EightGaussians
from absynth.distributions import StandardNormal
from absynth.networks.time_embedding import LevelMLP
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.samplers.ladders import log_spaced_noise
from absynth.seeding import stream
from absynth.types import Batch

TRUTH = EightGaussians(radius=1.0, std=0.15)
"""The law of the data."""


@dataclass(frozen=True, kw_only=True)
class DiffusionRecoveryRing(Recipe):
    """Diffusion recovery likelihood (Gao et al. 2021) on eight Gaussians."""

    steps: int = 3000
    batch: int = 200
    ema: float = 0.995
    levels: int = 4
    """T, noise levels; 1 is a short run from N(0, I) in the same parametrization."""
    lowest: float = 0.05
    """s̄_0, standard deviation of the noise in x_0."""
    highest: float = 0.95
    """s̄_{T−1}, that of the noisiest level; near 1."""
    chain: int = 15
    """K, Langevin steps a level."""
    step_size: float = 0.15
    """b, the step over the level's noise; above 0.2 training diverges."""
    width: int = 64
    """Hidden units of f."""
    lr: float = 1e-3
    """Adam's rate."""

    def algorithm(self) -> DiffusionRecovery:
        noise = log_spaced_noise(self.lowest, self.highest, self.levels)
        sampler = Langevin(self.chain, self.step_size)
        return DiffusionRecovery(LevelMLP(2, self.width), StandardNormal(2), noise=noise, sampler=sampler)

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.lr)}

    def batches(self, start: int = 0) -> Iterator[Batch]:
        step = start
        while True:  # fresh examples for ever; they follow from (seed, step) as everything does
            yield Batch(TRUTH.sample(self.batch, stream(self.seed, 0, step, 10)))
            step += 1

    def tiny(self) -> Recipe:
        return replace(self, steps=4, batch=8, width=8, chain=3, log_every=1, checkpoint_every=2)
