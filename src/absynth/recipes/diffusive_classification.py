"""Diffusive classification: a normalized energy-based model learned by guessing the noise level (arXiv:2601.21025).

log p(x) comes from one pass of the network. *Vectors* have a fully connected network with one output per level;
*images* strided convolutions. Tables and images are learned with a little noise, because repeated values have no
density. With ``reference="gaussian"`` the levels lead to a Gaussian of the data, in whose coordinates all networks are
fully connected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from absynth.algorithms.diffusive_classification import DiffusiveClassification
from absynth.distributions import StandardNormal
from absynth.recipes._chain_free import ChainFree, noise_levels
from absynth.recipes._fields import noisy
from absynth.recipes._reference import fitted
from absynth.recipes.bounds import Count, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.samplers import Langevin
from absynth.types import Batch

PRESETS = {
    "ring": Preset(minutes=0.3, threads=1, recorded="chain_free_toy.KL on ring, diffusive classification"),
    "grid25": Preset(minutes=0.3, threads=1, recorded="chain_free_toy.KL on grid25, diffusive classification"),
    "moons": Preset(minutes=0.3, threads=1, recorded="chain_free_toy.KL on moons, diffusive classification"),
    "breast_cancer": Preset(minutes=0.3, threads=1, energy_width=128, input_scale=1.0, energy_lr=1e-3, data_noise=0.1),
    "digits": Preset(
        minutes=1, recorded="one_pass_digits", threads=1, reference="gaussian", levels=12, lowest=0.2, copies=4,
        batch=64, steps=4000, score_weight=1.0, energy_width=256, energy_lr=1e-3, data_noise=0.1,
    ),
    "mnist": Preset(
        minutes=10, levels=12, copies=4, batch=64, steps=4000, energy_width=24, energy_lr=1e-3, data_noise=0.1
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DiffusiveClassificationRecipe(ChainFree):
    """Diffusive classification: a normalized energy learned by guessing the noise level of an example."""

    steps: Count = 2500
    levels: Count = 7
    """Number of levels T that have a density; x_T is pure noise."""
    reference: Literal["standard", "gaussian"] = "standard"
    """What the noise levels lead to: N(0, I), or the Gaussian of the training examples."""
    lowest: Share = 0.1
    """Standard deviation s_1 of the first noise level. With N(0, I), at least twice ``data_noise``, which is s_0."""
    copies: Count = 8
    """Number of levels at which each example is used in an update."""
    score_weight: NonNegative = 0.0
    """Weight of denoising score matching beside the classification."""
    chain_step_size: Positive = 0.3
    """Step size of the chain at a level, in units of its noise; of s_1 at the last."""

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start)
        return noisy(found, self.data_noise, seed=self.seed, start=start) if self.reference == "gaussian" else found

    def algorithm(self) -> DiffusiveClassification:
        whitened = self.reference == "gaussian"
        first, lowest = (0.0, self.lowest) if whitened else (self.data_noise, max(self.lowest, 2 * self.data_noise))
        return DiffusiveClassification(
            self.level_network(self.levels, whitened=whitened),
            fitted(self.examples, self.data_noise) if whitened else StandardNormal(*self.shape),
            noise=(first, *noise_levels(lowest, self.levels - 1)),
            sampler=Langevin(self.chain_steps, self.chain_step_size),
            copies=self.copies,
            score_weight=self.score_weight,
        )
