"""What the recipes of generators that learn with an EBM share: networks, two chains, optimizers, presets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, ClassVar

from torch import nn
from torch.optim import Optimizer

from absynth.algorithms import Algorithm
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal, Uniform
from absynth.networks import ready
from absynth.networks.mlp import Activation
from absynth.networks.ready import Network
from absynth.recipes._optimizers import adam
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch

DATA_NOISE = int.from_bytes(b"noisy", "big")
"""Separates the noise added to the data from a step's own."""

RING: dict[str, Any] = {
    "steps": 1000, "threads": 1, "latent": 2, "chain_steps": 30, "chain_step_size": 0.1, "temperature": 1.0,
    "energy_width": 64, "generator_width": 64, "inference_width": 64, "reference_std": 3.0, "energy_lr": 1e-3,
    "generator_lr": 1e-3, "inference_lr": 1e-3, "guard_step_size": 0.5, "guard_difference": 10.0,
    "guard_stability": 2.5,
}  # fmt: skip
"""Eight Gaussians in the plane; also where a preset for vectors is needed."""

DIGITS: dict[str, Any] = {
    "steps": 700, "threads": 1, "checkpoint_every": 350, "limit": 20_000, "latent": 16, "generator_network": "mlp",
    "generator_width": 400, "inference_width": 400, "energy_network": "mlp", "energy_width": 200, "energy_lr": 2e-3,
    "generator_lr": 1e-3, "inference_lr": 1e-3,
}  # fmt: skip
"""MNIST and Fashion-MNIST, fully connected throughout, the same for all methods so that they can be compared."""


@dataclass(frozen=True, kw_only=True)
class TeachingRecipe(Recipe):
    """Numbers of an EBM, a generator and an inference model; a method uses those that it has.

    The defaults are for images. The chain on x is x + ∇f + 0.01·ε, cold as in every published image EBM, and starts at
    the generator's samples.
    """

    size: Natural = 0
    """Side of your images in pixels; 0 leaves them as found."""
    channels: Natural = 0
    """1 grey, 3 colour; 0 leaves them as found."""
    target: str = ""
    """Column of a table that holds classes; empty: none."""
    steps: Count = 20_000
    latent: Count = 100
    """Dimension of z."""
    std: Positive = 0.3
    """Standard deviation σ of p(x|z)."""
    energy_network: Network = "conv"
    """Energy network of images: convolutions, or fully connected, which makes chains far cheaper on a CPU."""
    energy_width: Count = 64
    """Maps of the energy network's first convolution, or hidden units."""
    energy_activation: Activation = "silu"
    """Activation of the energy network (of every network for vectors); smooth ones are steadier."""
    generator_network: Network = "conv"
    """Generator and inference networks of images: convolutions, or fully connected."""
    generator_width: Count = 64
    """Feature factor of the generator's transposed convolutions, or hidden units."""
    inference_width: Count = 64
    """Maps of the inference network's first convolution, or hidden units."""
    reference_std: NonNegative = 0.0
    """Standard deviation of the EBM's Gaussian reference; 0 is a flat reference."""
    data_noise: NonNegative = 0.0
    """Standard deviation of noise added to the data; tables with discrete or collinear columns need some."""
    chain_steps: Natural = 15
    """Number of Langevin steps on x (K), in an update and in a sample."""
    chain_step_size: Positive = math.sqrt(2)
    """Step size δ of the chain on x: x + (δ²/2)·score + δ√T·noise."""
    temperature: NonNegative = 5e-5
    """Temperature T of the chain on x; 1 is unadjusted Langevin."""
    posterior_steps: Natural = 10
    """Number of Langevin steps on z given x, where a method infers z by a chain."""
    posterior_step_size: Positive = 0.1
    """Step size δ of the chain on z."""
    energy_lr: Positive = 1e-4
    """Learning rate of the energy network (Adam)."""
    generator_lr: Positive = 3e-4
    """Learning rate of the generator (Adam)."""
    inference_lr: Positive = 3e-4
    """Learning rate of the inference network (Adam)."""
    beta1: Decay = 0.5
    """Adam's β1, for every player."""
    beta2: Decay = 0.999
    """Adam's β2, for every player."""
    weight_decay: NonNegative = 0.0
    """L2 penalty on the generator's and the inference network's weights."""
    decay_rate: Positive = 1.0
    """Factor on all learning rates every ``decay_epochs`` epochs."""
    decay_epochs: Count = 1
    """Epochs between reductions of the learning rates."""
    guard_step_size: Positive = 1.0
    """Left at 1 for images: shorter steps do not reach as far, and a chain that cannot follow f diverges sooner."""
    guard_difference: Positive = 20.0
    """An energy difference f(pos) − f(neg) below this never counts as divergence: f grows before chains follow."""
    guard_stability: Positive = 100.0
    """Largest δ²λ of the chain; a cold short chain never reaches the equilibrium that it speaks of."""

    kinds = ("toy", "image", "table")
    TINY: ClassVar[dict[str, Any]] = {
        **Recipe.TINY, "limit": 64, "latent": 4, "energy_width": 4, "generator_width": 8, "inference_width": 8,
        "chain_steps": 3, "posterior_steps": 3,
    }  # fmt: skip

    @property
    def data_kind(self) -> str:
        """Kind of the data."""
        return self.examples.kind

    def reference(self) -> StandardNormal | Uniform:
        """p_0(x) of the EBM."""
        flat = Uniform(*self.shape)
        return StandardNormal(*self.shape, std=self.reference_std) if self.reference_std else flat

    def ebm(self) -> EBM:
        """p(x), freshly initialized."""
        f = ready.energy(
            self.data_kind, self.shape, self.energy_width, act=self.energy_activation, network=self.energy_network
        )
        return EBM(f, self.reference())

    def generator(self) -> GaussianGenerator:
        """p(x|z), freshly initialized."""
        return GaussianGenerator(
            ready.generator(
                self.data_kind, self.shape, self.latent, self.generator_width, act=self.energy_activation,
                network=self.generator_network,
            ),
            self.std,
        )  # fmt: skip

    def inference(self) -> GaussianInference:
        """q(z|x), freshly initialized."""
        return GaussianInference(
            ready.inference(
                self.data_kind, self.shape, self.latent, self.inference_width, act=self.energy_activation,
                network=self.generator_network,
            )
        )  # fmt: skip

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start)
        return map(self._noisy, found, count(start)) if self.data_noise else found

    def _noisy(self, batch: Batch, step: int) -> Batch:
        noise = noise_like(batch.x, stream(self.seed, 0, step, DATA_NOISE))
        return batch._replace(x=batch.x + self.data_noise * noise)

    def sampler(self) -> Langevin:
        """The chain on x."""
        noise = None if self.temperature == 1 else self.chain_step_size * self.temperature**0.5
        return Langevin(self.chain_steps, self.chain_step_size, noise)

    def posterior_sampler(self) -> Langevin:
        """The chain on z given x."""
        return Langevin(self.posterior_steps, self.posterior_step_size)

    def latent_law(self) -> StandardNormal:
        """p_0(z)."""
        return StandardNormal(self.latent)

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        rates = {"ebm": self.energy_lr, "generator": self.generator_lr, "inference": self.inference_lr}
        decays = {"generator": self.weight_decay, "inference": self.weight_decay}
        return adam(algorithm, rates, (self.beta1, self.beta2), weight_decay=decays)

    def schedule(self, step: int) -> float:
        if self.decay_rate == 1:
            return 1.0
        epoch = step * self.batch // max(self.examples.examples, 1)
        return self.decay_rate ** (epoch // self.decay_epochs)


def clip_gradients(optimizers: dict[str, Optimizer], norms: dict[str, float]) -> None:
    """Clip the gradient norm of a player before each step."""
    for name, norm in norms.items():
        if name in optimizers:
            optimizers[name].register_step_pre_hook(partial(_clip, norm=norm))


def _clip(optimizer: Optimizer, _args: tuple, _kwargs: dict, *, norm: float) -> None:
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], norm)
