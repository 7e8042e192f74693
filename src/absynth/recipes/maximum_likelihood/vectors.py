"""Maximum likelihood learning of an EBM of vectors: persistent, short-run or contrastive divergence.

On eight Gaussians log Z is a sum over a grid, so KL(data ‖ model) is exact (``absynth reproduce ebm_ring``); the best
single Gaussian scores 1.0955 nats. The network matters more than how it is sampled: with exact gradients a leaky ReLU
network reaches .018 nats and a smooth one on unscaled inputs stays at .26, because the modes (std .15) are small
relative to the unit on which its units bend; ``--input-scale 3`` repairs that. The step is half a mode's width: at
δ = 0.1 a chain samples a mode 12 % too wide, the model learns it that much too narrow, and KL is three times as large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.networks.mlp import Activation, Scaled, mlp_f
from absynth.recipes._fields import TableOptions, half_cosine
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive, Share
from absynth.recipes.maximum_likelihood._chains import MaximumLikelihoodRecipe
from absynth.recipes.presets import Preset

PRESETS = {
    "ring": Preset(minutes=1, recorded="ebm_ring"),
    "wide_ring": Preset(
        minutes=0.3, recorded="teaching_ring.K5, noise: MMD of refined samples",
        steps=1000, batch=100, threads=1, start="noise", start_std=2.0,
        reference_std=3.0, hidden=2, energy_activation="silu", chain_steps=30, chain_step_size=0.1, energy_lr=1e-3,
        beta1=0.5, cosine=False, sample_rounds=1,
    ),
    "breast_cancer": Preset(
        minutes=0.5, steps=1500, batch=100, reference_std=1.0, energy_activation="silu", hidden=2, chain_steps=20,
        chain_step_size=0.1, chains=1000, data_noise=0.1, energy_lr=1e-3,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodVectors(TableOptions, MaximumLikelihoodRecipe):
    """Energy-based model of vectors by maximum likelihood: persistent, short-run or contrastive divergence."""

    kinds = ("toy", "table")

    steps: Count = 2500
    batch: Count = 500
    start: Literal["noise", "persistent", "data"] = "persistent"
    chains: Count = 5000
    restart: Share = 0.0
    hidden: Count = 3
    """Hidden layers of f."""
    energy_activation: Activation = "leaky_relu"
    leak: Positive = 0.05
    """Slope of a leaky ReLU."""
    input_scale: Positive = 1.0
    """f sees the data times this; smooth activations need about 3 on data of small scale."""
    chain_step_size: Positive = 0.07
    temperature: NonNegative = 1.0
    sample_rounds: Count = 50
    energy_lr: Positive = 3e-3
    beta1: Decay = 0.9
    cosine: bool = True
    """Whether the learning rate falls to 0 by a half cosine."""

    def algorithm(self) -> MaximumLikelihood:
        (dim,) = self.shape
        net = mlp_f(dim, self.energy_width, self.energy_activation, self.leak, hidden=self.hidden)
        return self._of(Scaled(net, self.input_scale), 2.0)

    def schedule(self, step: int) -> float:
        return half_cosine(step, self.steps) if self.cosine else 1.0
