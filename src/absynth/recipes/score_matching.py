"""Score matching: denoising, sliced, or at several noise levels (Vincent 2011; Song et al. 2019).

The baseline of learning without chains: shares of well separated modes come out wrong, because a score does not know
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.algorithms.algorithm import Algorithm
from absynth.algorithms.score_matching import DenoisingScoreMatching, MultilevelScoreMatching, SlicedScoreMatching
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks import ready
from absynth.networks.mlp import Scaled, mlp_f
from absynth.recipes._chain_free import ChainFree, noise_levels
from absynth.recipes.bounds import Count, Positive, Share
from absynth.recipes.presets import Preset
from absynth.samplers import Langevin

PRESETS = {
    "ring": Preset(minutes=0.3, threads=1, recorded="chain_free_toy.KL on ring, denoising at several levels"),
    "grid25": Preset(minutes=0.3, threads=1, recorded="chain_free_toy.KL on grid25, denoising at several levels"),
    "moons": Preset(minutes=0.3, threads=1, recorded="chain_free_toy.KL on moons, denoising at several levels"),
    "breast_cancer": Preset(minutes=0.3, threads=1, energy_width=128, input_scale=1.0, energy_lr=1e-3, levels=8),
    "digits": Preset(minutes=2, threads=1, levels=10, energy_width=32, energy_lr=1e-3),
}


@dataclass(frozen=True, kw_only=True)
class ScoreMatchingRecipe(ChainFree):
    """Score matching: an energy learned from its score, without chains."""

    steps: Count = 2500
    learning: Literal["levels", "denoising", "sliced"] = "levels"
    """Denoising at several noise levels, denoising at one, or sliced score matching without noise."""
    data_noise: Share = 0.05
    """Standard deviation of the noise of denoising, and of the first of several levels."""
    levels: Count = 7
    """Number of noise levels."""
    chain_step_size: Positive = 0.3
    """Step size of the chain: in units of the noise of its level, or absolute with one level or none."""
    sample_rounds: Count = 20
    """Number of times the chain runs for a sample, with one level or none."""

    def algorithm(self) -> Algorithm:
        reference = StandardNormal(*self.shape)
        sampler = Langevin(self.chain_steps, self.chain_step_size)
        if self.learning == "levels":
            noise = noise_levels(self.data_noise, self.levels)
            return MultilevelScoreMatching(self.level_network(self.levels), reference, noise=noise, sampler=sampler)
        if self.examples.kind == "image":
            ebm = EBM(ready.energy("image", self.shape, self.energy_width, act=self.energy_activation), reference)
        else:
            f = mlp_f(*self.shape, self.energy_width, self.energy_activation, hidden=3)
            ebm = EBM(Scaled(f, self.input_scale), reference)
        if self.learning == "sliced":
            return SlicedScoreMatching(ebm, sampler=sampler, sample_rounds=self.sample_rounds)
        if not self.data_noise > 0:
            raise InputError(
                "denoising needs noise, got --data-noise 0: give a standard deviation, or --learning sliced"
            )
        return DenoisingScoreMatching(ebm, noise=self.data_noise, sampler=sampler, sample_rounds=self.sample_rounds)
