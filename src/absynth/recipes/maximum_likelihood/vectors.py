"""Maximum likelihood learning of an EBM of vectors: toy sets and tables.

On eight Gaussians log Z is a sum over a grid, so KL(data ‖ model) is exact (``absynth reproduce ebm_ring``); the best
single Gaussian scores 1.0955 nats. The network matters more than how it is sampled: with exact gradients a leaky ReLU
network reaches .018 nats and a smooth one on unscaled inputs stays at .26, because the modes (std .15) are small
relative to the unit on which its units bend; ``--input-scale 3`` repairs that. The step is half a mode's width: at
δ = 0.1 a chain samples a mode 12 % too wide, the model learns it that much too narrow, and KL is three times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.density import EBM
from absynth.distributions import StandardNormal, Uniform
from absynth.networks.mlp import Activation, mlp_f
from absynth.recipes._optimizers import half_cosine
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromData, FromNoise, Langevin, Persistent, Start
from absynth.seeding import stream

CHAINS = int.from_bytes(b"bank", "big")
"""Separates the noise of the first persistent chains from a step's own."""

PRESETS = {
    "ring": Preset(minutes=1, recorded="ebm_ring"),
    "wide_ring": Preset(
        minutes=0.3, recorded="teaching_ring", steps=1000, batch=100, threads=1, start="noise", start_std=2.0,
        reference_std=3.0, hidden=2, energy_activation="silu", chain_steps=30, chain_step_size=0.1, energy_lr=1e-3,
        beta1=0.5, cosine=False, sample_rounds=1,
    ),
    "breast_cancer": Preset(
        minutes=0.5, steps=1500, batch=100, reference_std=1.0, energy_activation="silu", hidden=2, chain_steps=20,
        chain_step_size=0.1, chains=1000, data_noise=0.1, energy_lr=1e-3,
    ),
}  # fmt: skip


class Scaled(nn.Module):
    """x ↦ net(scale · x)."""

    def __init__(self, net: nn.Module, scale: float) -> None:
        super().__init__()
        self.net, self.scale = net, scale

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}"

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.scale * x)


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodVectors(Recipe):
    """Energy-based model of vectors by maximum likelihood: persistent, short-run or contrastive divergence."""

    kinds = ("toy", "table")
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "energy_width": 8, "chain_steps": 3, "chains": 20}

    target: str = ""
    """Column of a table that holds classes; empty: none."""
    steps: Count = 2500
    batch: Count = 500
    start: Literal["noise", "persistent", "data"] = "persistent"
    """Chain initialization: fresh noise (short run), a replay buffer, the data (contrastive divergence)."""
    start_std: Positive = 1.0
    """Standard deviation of the noise that chains start from, with --start noise and a flat reference."""
    chains: Count = 5000
    """Number of persistent chains."""
    restart: Share = 0.0
    """Probability that a persistent chain restarts from noise in an update."""
    reference_std: NonNegative = 0.0
    """Standard deviation of the Gaussian reference; 0: uniform on [−2, 2] per coordinate."""
    energy_width: Count = 64
    """Hidden units of each of f's hidden layers."""
    hidden: Count = 3
    """Hidden layers of f."""
    energy_activation: Activation = "leaky_relu"
    """Activation of f."""
    leak: Positive = 0.05
    """Slope of a leaky ReLU."""
    input_scale: Positive = 1.0
    """f sees the data times this; smooth activations need about 3 on data of small scale."""
    chain_steps: Count = 15
    """Number of Langevin steps per update (K)."""
    chain_step_size: Positive = 0.07
    """Step size δ of x + (δ²/2)·score + δ√T·noise."""
    temperature: NonNegative = 1.0
    """Temperature T that is sampled; 1 is unadjusted Langevin."""
    sample_rounds: Count = 50
    """Number of times K steps run for a fresh sample."""
    data_noise: NonNegative = 0.0
    """Standard deviation of noise added to the data; tables with constant or discrete columns need some."""
    energy_lr: Positive = 3e-3
    """Learning rate (Adam)."""
    beta1: Decay = 0.9
    """Adam's β1."""
    cosine: bool = True
    """Whether the learning rate falls to 0 by a half cosine."""

    def algorithm(self) -> MaximumLikelihood:
        (dim,) = self.shape
        flat = Uniform(dim, low=-2.0, high=2.0)
        reference = StandardNormal(dim, std=self.reference_std) if self.reference_std else flat
        net: nn.Module = mlp_f(dim, self.energy_width, self.energy_activation, self.leak, hidden=self.hidden)
        noise = None if self.temperature == 1 else self.chain_step_size * math.sqrt(self.temperature)
        return MaximumLikelihood(
            EBM(Scaled(net, self.input_scale), reference),
            start=self._start(dim, reference),
            sampler=Langevin(self.chain_steps, self.chain_step_size, noise),
            data_noise=self.data_noise,
            sample_rounds=self.sample_rounds,
        )

    def _start(self, dim: int, reference: StandardNormal | Uniform) -> Start:
        if self.start == "persistent":
            return Persistent(self.chains, reference, self.restart, rng=stream(self.seed, 0, 0, CHAINS))
        return FromNoise(StandardNormal(dim, std=self.start_std)) if self.start == "noise" else FromData()

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.energy_lr, (self.beta1, 0.999))}

    def schedule(self, step: int) -> float:
        return half_cosine(step, self.steps) if self.cosine else 1.0
