"""Diffusion recovery likelihood of vectors: few noise levels, and long-run chains keep their law.

Noise levels 0.05 to 0.95 in geometric progression, K = 15 steps of 0.15 of the level's noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.distributions import StandardNormal
from absynth.networks.time_embedding import LevelMLP
from absynth.recipes.bounds import Count, Decay, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.samplers.ladders import log_spaced_noise

PRESETS = {"ring": Preset(minutes=1.5, recorded="diffusion_recovery_ring")}


@dataclass(frozen=True, kw_only=True)
class DiffusionRecoveryVectors(Recipe):
    """Diffusion recovery likelihood of vectors (Gao et al. 2021)."""

    kinds = ("toy", "table")
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "energy_width": 8, "chain_steps": 3}

    target: str = ""
    """Column of a table that holds classes; empty: none."""
    steps: Count = 3000
    batch: Count = 200
    ema: Decay = 0.995
    levels: Count = 4
    """Number of noise levels T; 1 is a short run from N(0, I) in the same parametrization."""
    lowest: Share = 0.05
    """Standard deviation s̄_0 of the noise in x_0."""
    highest: Share = 0.95
    """Standard deviation s̄_{T−1} of the noisiest level; near 1."""
    chain_steps: Count = 15
    """Number of Langevin steps per level (K)."""
    chain_step_size: Positive = 0.15
    """Step size b over the level's noise; above 0.2 training diverges."""
    energy_width: Count = 64
    """Hidden units of f."""
    energy_lr: Positive = 1e-3
    """Learning rate (Adam)."""

    def algorithm(self) -> DiffusionRecovery:
        (dim,) = self.shape
        noise = log_spaced_noise(self.lowest, self.highest, self.levels)
        sampler = Langevin(self.chain_steps, self.chain_step_size)
        return DiffusionRecovery(LevelMLP(dim, self.energy_width), StandardNormal(dim), noise=noise, sampler=sampler)

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.energy_lr)}
