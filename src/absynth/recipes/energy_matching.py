"""Energy matching: optimal transport far from the data, a density among them (Balcerak et al., NeurIPS 2025).

Chains cover the time K δ² / 2ε; a sweep needs 1 to arrive, and as much again to mix.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.energy_matching import EnergyMatching
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.networks import ready
from absynth.networks.mlp import Scaled, mlp_f
from absynth.recipes._chain_free import ChainFree
from absynth.recipes.bounds import Count, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.samplers import Langevin
from absynth.samplers.ramped import RampedLangevin

PRESETS = {
    "ring": Preset(minutes=1, threads=1, recorded="chain_free_toy.KL on ring, energy matching", steps=1000),
    "moons": Preset(minutes=1, threads=1, recorded="chain_free_toy.KL on moons, energy matching", steps=1000),
    "mnist": Preset(
        minutes=20, recorded="energy_matching_mnist", batch=64, steps=3000, flow_share=0.7, energy_width=24,
        temperature=0.01, step_time=0.05, energy_lr=1e-3, reference_std=1.0, contrast_weight=1.0, data_noise=0.03,
    ),
    "cifar10/paper": Preset(
        source="Balcerak et al. 2025", published="FID 3.97", batch=512, steps=147_000, flow_share=0.986,
        energy_lr=1.2e-3, temperature=0.01, contrast_weight=1e-3, chain_steps=200, data_steps=200, step_time=0.01,
        reference_std=1.0,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EnergyMatchingRecipe(ChainFree):
    """Energy matching: an energy that transports noise to the data and is a density among them."""

    kinds = ("toy", "table", "image")

    steps: Count = 2000
    batch: Count = 128
    temperature: Positive = 0.15
    """Temperature ε of the potential V = −ε ℓ."""
    step_time: Positive = 0.05
    """Time dt of a step; the step size is √(2ε dt)."""
    chain_steps: Count = 40
    """Steps of the sweep from noise."""
    data_steps: Count = 20
    """Steps of the chains that start at data."""
    flow_share: Share = 0.15
    """Share of the updates that match the flow alone."""
    contrast_weight: NonNegative = 50.0
    """Weight λ of the energy difference."""
    reference_std: Positive = 0.75
    """Standard deviation of the noise that the flow starts at."""
    energy_lr: Positive = 3e-3

    def algorithm(self) -> EnergyMatching:
        reference = StandardNormal(*self.shape, std=self.reference_std)
        if self.examples.kind == "image":
            ebm = EBM(ready.energy("image", self.shape, self.energy_width, act=self.energy_activation), reference)
        else:
            f = mlp_f(*self.shape, self.energy_width, self.energy_activation, hidden=3)
            ebm = EBM(Scaled(f, self.input_scale), reference)
        step = (2 * self.temperature * self.step_time) ** 0.5
        return EnergyMatching(
            ebm,
            temperature=self.temperature,
            sampler=RampedLangevin(self.chain_steps, step),
            data_sampler=Langevin(self.data_steps, step),
            flow_share=self.flow_share,
            contrast_weight=self.contrast_weight,
            data_noise=self.data_noise,
        )
