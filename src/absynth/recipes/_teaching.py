"""What the recipes of generators that learn with an EBM share: networks, two chains, optimizers, presets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal, Uniform
from absynth.networks import ready
from absynth.networks.mlp import Activation
from absynth.networks.ready import Network
from absynth.recipes._fields import (
    ColdChains,
    GaussianOutput,
    ImageOptions,
    PosteriorChain,
    TableOptions,
    TemperedChain,
    VideoOptions,
    noisy,
)
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive
from absynth.recipes.recipe import Recipe
from absynth.types import Batch

DATA_NOISE = int.from_bytes(b"noisy", "big")
"""Separates the noise added to the data from a step's own."""

RING: dict[str, Any] = {
    "steps": 1000, "threads": 1, "latent": 2, "chain_steps": 30, "chain_step_size": 0.1, "temperature": 1.0,
    "energy_width": 64, "generator_width": 64, "inference_width": 64, "reference_std": 3.0, "energy_lr": 1e-3,
    "generator_lr": 1e-3, "inference_lr": 1e-3, "guard_step_size": 0.5, "guard_difference": 10.0,
    "guard_stability": 2.5,
}  # fmt: skip
"""Eight Gaussians in the plane."""

TABLE: dict[str, Any] = RING | {
    "steps": 1500, "latent": 8, "energy_width": 128, "generator_width": 128, "inference_width": 128,
    "reference_std": 2.0, "data_noise": 0.1,
}  # fmt: skip
"""Standardized columns of tables."""

DIGITS: dict[str, Any] = {
    "steps": 700, "threads": 1, "checkpoint_every": 350, "limit": 20_000, "latent": 16, "generator_network": "mlp",
    "generator_width": 400, "inference_width": 400, "energy_network": "mlp", "energy_width": 200, "energy_lr": 2e-3,
    "generator_lr": 1e-3, "inference_lr": 1e-3,
}  # fmt: skip
"""MNIST and Fashion-MNIST, fully connected throughout, the same for all methods so that they can be compared."""


@dataclass(frozen=True, kw_only=True)
class TeachingRecipe(
    ColdChains, ImageOptions, VideoOptions, TableOptions, TemperedChain, GaussianOutput, PosteriorChain, Recipe
):
    """Numbers of an EBM, a generator and an inference model; a method uses those that it has.

    The defaults are for images. The chain on x is x + ∇f + 0.01·ε, cold as in every published image EBM, and starts at
    the generator's samples.
    """

    steps: Count = 20_000
    energy_network: Network = "conv"
    """Energy network of images: convolutions, or fully connected, which makes chains far cheaper on a CPU."""
    energy_strided: bool = False
    """Whether a convolutional energy network's first layer halves the sides too, which is several times as fast."""
    energy_activation: Activation = "silu"
    """Activation of the energy network (of every network for vectors); smooth ones are steadier."""
    generator_network: Network = "conv"
    """Generator and inference networks of images: convolutions, or fully connected."""
    inference_width: Count = 64
    """Maps of the inference network's first convolution, or hidden units."""
    reference_std: NonNegative = 0.0
    """Standard deviation of the EBM's Gaussian reference; 0 is a flat reference."""
    posterior_steps: Natural = 10
    """Number of Langevin steps on z given x, where a method infers z by a chain."""
    data_noise: NonNegative = 0.0
    """Standard deviation of noise added to the data; tables with discrete or collinear columns need some."""
    generator_lr: Positive = 3e-4
    inference_lr: Positive = 3e-4
    """Learning rate of the inference network (Adam)."""
    beta2: Decay = 0.999
    """Adam's β2, for every player."""
    generator_weight_decay: NonNegative = 0.0
    """L2 penalty on the generator's weights."""
    inference_weight_decay: NonNegative = 0.0
    """L2 penalty on the inference network's weights."""
    decay_rate: Positive = 1.0
    """Factor on all learning rates every ``decay_epochs`` epochs."""
    decay_epochs: Count = 1
    """Epochs between reductions of the learning rates."""

    kinds = ("toy", "image")

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
            self.data_kind, self.shape, self.energy_width, act=self.energy_activation, network=self.energy_network,
            stem=2 if self.energy_strided else 1,
        )  # fmt: skip
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
        return noisy(found, self.data_noise, seed=self.seed, start=start, key=DATA_NOISE)

    def latent_law(self) -> StandardNormal:
        """p_0(z)."""
        return StandardNormal(self.latent)

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
