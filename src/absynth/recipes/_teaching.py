"""What recipes of the teaching methods share: a ring in the plane where the truth is known, and pictures.

A method's recipe is one of these with the method's ``algorithm`` and its own numbers.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from absynth.data.toy import EightGaussians
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal, Uniform
from absynth.networks.convnet import conv_f
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.encoder import conv_encoder, mlp_encoder
from absynth.networks.mlp import Activation, mlp, mlp_f, mlp_generator
from absynth.recipes._pictures import PictureRecipe
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.seeding import stream
from absynth.types import Batch, Conditional

RING = EightGaussians(radius=2.0, std=0.2)
"""The law of the ring's data."""


@dataclass(frozen=True, kw_only=True)
class TeachingRecipe(Recipe):
    """Numbers of three players and two chains; a method uses those that it has."""

    latent: int = 2
    """Dimension of z."""
    std: float = 0.3
    """σ of p(x|z)."""
    chain_steps: int = 30
    """K, Langevin steps on x from a draft, in an update and in a sample."""
    step_size: float = 0.1
    """δ of the chain on x, in x + (δ²/2)·score + δ√T·noise."""
    temperature: float = 1.0
    """T, the temperature of the chain on x; 1 is true Langevin."""
    posterior_steps: int = 10
    """Langevin steps on z given x, where a method infers z by a chain."""
    posterior_step_size: float = 0.1
    """δ of the chain on z."""
    ebm_lr: float = 5e-4
    """Adam's rate for f."""
    generator_lr: float = 1e-3
    """Adam's rate for the generator."""
    inference_lr: float = 1e-3
    """Adam's rate for the inference model, where a method has one."""
    beta1: float = 0.5
    """Adam's first β, for every player."""
    beta2: float = 0.999
    """Adam's second β, for every player."""
    weight_decay: float = 0.0
    """Pull of the generator's and the inference model's weights towards 0, as a gradient."""

    @abstractmethod
    def ebm(self) -> EBM:
        """p(x), freshly initialized."""

    @abstractmethod
    def generator(self) -> Conditional:
        """p(x|z), freshly initialized."""

    @abstractmethod
    def inference(self) -> Conditional:
        """q(z|x), freshly initialized."""

    def sampler(self) -> Langevin:
        """The chain on x."""
        noise = None if self.temperature == 1 else self.step_size * self.temperature**0.5
        return Langevin(self.chain_steps, self.step_size, noise)

    def posterior_sampler(self) -> Langevin:
        """The chain on z given x."""
        return Langevin(self.posterior_steps, self.posterior_step_size)

    def latent_law(self) -> StandardNormal:
        """p_0(z)."""
        return StandardNormal(self.latent)

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"ebm": self.ebm_lr, "generator": self.generator_lr, "inference": self.inference_lr}
        decays = {"ebm": 0.0, "generator": self.weight_decay, "inference": self.weight_decay}
        betas = (self.beta1, self.beta2)
        return {
            name: Adam(player.parameters(), rates[name], betas, weight_decay=decays[name])
            for name, player in algorithm.named_children()
            if name in rates
        }


@dataclass(frozen=True, kw_only=True)
class TeachingRing(TeachingRecipe):
    """Eight Gaussians on a circle in the plane, fresh ones for ever."""

    steps: int = 1000
    batch: int = 100
    threads: int = 1
    ebm_lr: float = 1e-3
    width: int = 64
    """Hidden units of each network's two hidden layers."""
    activation: Activation = "silu"
    """Activation of every network."""
    reference_std: float = 3.0
    """Standard deviation of the EBM's Gaussian reference."""

    def ebm(self) -> EBM:
        """p(x), freshly initialized."""
        return EBM(mlp_f(2, self.width, self.activation), StandardNormal(2, std=self.reference_std))

    def generator(self) -> GaussianGenerator:
        """p(x|z), freshly initialized."""
        return GaussianGenerator(mlp([self.latent, self.width, self.width, 2], self.activation), self.std)

    def inference(self) -> GaussianInference:
        """q(z|x), freshly initialized."""
        return GaussianInference(mlp_encoder((2,), self.latent, self.width, self.activation))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        step = start
        while True:  # they follow from (seed, step) as everything does
            yield Batch(RING.sample(self.batch, stream(self.seed, 0, step, 10)))
            step += 1

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, width=8, chain_steps=3, posterior_steps=3, log_every=1, checkpoint_every=2
        )


@dataclass(frozen=True, kw_only=True)
class TeachingImages(TeachingRecipe, PictureRecipe):
    """Pictures: a user's own, or a published set's. The chain is the short-run recipes' (x + ∇f + 0.01·ε), but from
    drafts and so shorter.
    """

    steps: int = 20_000
    latent: int = 100
    chain_steps: int = 15
    step_size: float = math.sqrt(2)
    temperature: float = 5e-5
    ebm_lr: float = 1e-4
    generator_lr: float = 3e-4
    inference_lr: float = 3e-4
    ebm_network: Literal["conv", "mlp"] = "conv"
    """f: convolutional, or fully connected, which is far cheaper for chains on a CPU."""
    ebm_width: int = 64
    """Maps of f's first convolution, or hidden units of the fully connected one."""
    ebm_activation: Activation = "silu"
    """Activation of f; smooth ones are steadier."""
    networks: Literal["conv", "mlp"] = "conv"
    """Generator and inference model: convolutional, or fully connected."""
    generator_width: int = 64
    """Feature factor of the deconvolutional generator, or hidden units of the fully connected one."""
    inference_width: int = 64
    """Maps of the inference model's first convolution, or hidden units of the fully connected one."""
    reference_std: float = 0.0
    """Standard deviation of the EBM's Gaussian reference; 0: flat."""
    guard_step_size: float = 1.0
    """Forbidden here: K shorter steps reach less far, and a chain that cannot follow f diverges the faster."""
    guard_gap: float = 20.0
    """A gap below this is never trouble: f grows before chains follow."""
    guard_stability: float = 100.0
    """Out of the way: δ²λ tells how wide a chain samples in equilibrium, which a cold short one never comes near."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.channels, self.size, self.size

    def ebm(self) -> EBM:
        """p(x), freshly initialized."""
        reference = StandardNormal(*self.shape, std=self.reference_std) if self.reference_std else Uniform(*self.shape)
        if self.ebm_network == "mlp":
            return EBM(
                nn.Sequential(nn.Flatten(), *mlp_f(prod(self.shape), self.ebm_width, self.ebm_activation)), reference
            )
        f = conv_f(self.channels, self.size, self.ebm_width, self.ebm_activation)
        # Channels last: convolutions of few channels run half as long on a CPU.
        return EBM(f.to(memory_format=torch.channels_last), reference)  # type: ignore[call-overload]

    def generator(self) -> GaussianGenerator:
        """p(x|z), freshly initialized."""
        if self.networks == "mlp":
            return GaussianGenerator(mlp_generator(self.latent, self.generator_width, self.shape), self.std)
        return GaussianGenerator(
            deconv_generator(self.latent, self.size, self.channels, self.generator_width), self.std
        )

    def inference(self) -> GaussianInference:
        """q(z|x), freshly initialized."""
        if self.networks == "mlp":
            return GaussianInference(mlp_encoder(self.shape, self.latent, self.inference_width))
        return GaussianInference(conv_encoder(self.channels, self.size, self.latent, self.inference_width))

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, limit=64, latent=4, ebm_width=4, generator_width=8, inference_width=8,
            chain_steps=3, posterior_steps=3, log_every=1, checkpoint_every=2,
        )  # fmt: skip
