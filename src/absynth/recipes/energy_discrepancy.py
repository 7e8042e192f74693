"""Energy discrepancy: an energy learned by comparing data with perturbed data (Schröder et al., NeurIPS 2023).

No chains and no scores, so any activation will do. A *toy*'s p_0 is flat, so f alone is its log density; a *table*
tilts the Gaussian of its rows, and is learned with a little noise, because repeated values have no density.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from absynth.algorithms.energy_discrepancy import EnergyDiscrepancy
from absynth.algorithms.perturbations import GaussianNoise
from absynth.density import EBM
from absynth.networks.mlp import Activation, Scaled, mlp_f
from absynth.recipes._fields import DataChain, TableOptions, half_cosine, noisy
from absynth.recipes._reference import ReferenceName, fitted, reference_of
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.types import Batch

PRESETS = {
    "ring": Preset(minutes=0.3, threads=1, recorded="chain_free_toy.KL on ring, energy discrepancy"),
    "grid25": Preset(minutes=0.3, threads=1, recorded="chain_free_toy.KL on grid25, energy discrepancy"),
    "moons": Preset(minutes=0.3, threads=1, recorded="chain_free_toy.KL on moons, energy discrepancy"),
    "breast_cancer": Preset(
        minutes=0.3, threads=1, reference="gaussian", variance=0.3, input_scale=1.0, energy_width=128, data_noise=0.1,
        chain_step_size=0.15, energy_lr=1e-3,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EnergyDiscrepancyRecipe(TableOptions, DataChain, Recipe):
    """Energy discrepancy: an energy learned without chains or scores, from perturbed data (Schröder et al. 2023)."""

    kinds = ("toy", "table")

    steps: Count = 2000
    batch: Count = 256
    ema: Decay = 0.99
    variance: Positive = 0.05
    """Variance t of the noise: of the order of the narrowest structure's variance, up to a few times that."""
    contrasts: Count = 8
    """Perturbed examples M that each example is compared with."""
    reference: ReferenceName = "flat"
    """Reference p_0: flat on a box, N(0, I), or the Gaussian of the training examples."""
    extent: Positive = 2.0
    """Half the side of the box, where chains start."""
    hidden: Count = 3
    """Hidden layers of f."""
    input_scale: Positive = 1.0
    """f sees the data times this."""
    data_noise: NonNegative = 0.0
    """Standard deviation of noise added to the data; repeated values need some."""
    energy_activation: Activation = "leaky_relu"
    """Activation of the energy network."""
    chain_steps: Count = 1000
    """Number of Langevin steps of a sample (none run in training)."""
    chain_step_size: Positive = 0.05
    energy_lr: Positive = 3e-3

    def schedule(self, step: int) -> float:
        return half_cosine(step, self.steps)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start)
        return noisy(found, self.data_noise, seed=self.seed, start=start)

    def algorithm(self) -> EnergyDiscrepancy:
        f = mlp_f(*self.shape, self.energy_width, self.energy_activation, hidden=self.hidden)
        if self.reference == "gaussian":
            reference = fitted(self.examples, self.data_noise)
        else:
            reference = reference_of(self.reference, self.examples, low=-self.extent, high=self.extent)
        return EnergyDiscrepancy(
            EBM(Scaled(f, self.input_scale), reference),
            perturb=GaussianNoise(self.variance),
            sampler=Langevin(self.chain_steps, self.chain_step_size),
            contrasts=self.contrasts,
        )
