"""Diffusion-amortized latent prior (Yu et al., NeurIPS 2023, arXiv:2310.03218): chains on z start at a small diffusion.

Learning rates and chains are the paper's; the preset of MNIST is small: z of 16, generator 16-400-400-784. On the set
``linear_modes`` the truth is known (see :mod:`absynth.recipes.latent_prior.vectors`), and 5 steps take the place of 60:
so few do not arrive from N(0, I), so the chains of its prior start at posterior draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from absynth.algorithms.diffusion_amortized import DiffusionAmortized, NegativeStart
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.networks import ready
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.encoder import mlp_encoder
from absynth.networks.latent_diffusion import LatentDiffusion
from absynth.networks.mlp import mlp, mlp_f, mlp_generator
from absynth.recipes._fields import GaussianOutput, ImageOptions, PriorChain
from absynth.recipes.bounds import Count, Decay, Positive
from absynth.recipes.latent_prior.vectors import PRESETS as VECTORS
from absynth.recipes.latent_prior.vectors import LatentPriorVectors
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe

PRESETS = {
    "mnist": Preset(
        minutes=1, recorded="amortized_chains_mnist", threads=1, steps=900, limit=20_000, latent=16, energy_width=100,
        generator="mlp", generator_width=400, energy_lr=5e-4, generator_lr=1e-3, amortizer_lr=1e-3, posterior_steps=10,
        prior_steps=20, checkpoint_every=300,
    ),
    "linear_modes": Preset(
        minutes=2, recorded="amortized_chains_toy",
        **VECTORS["linear_modes"].fields | {"prior_steps": 5, "negative_start": "posterior", "ema": 0.99},
    ),
    "svhn": Preset(source="Yu et al. 2023", published="FID 18.76"),
    "celeba": Preset(source="Yu et al. 2023", published="FID 30.83", generator_width=128),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DiffusionAmortizedRecipe(ImageOptions, GaussianOutput, PriorChain, Recipe):
    """Latent-space EBM prior whose chains start at a small diffusion model of z (Yu et al. 2023)."""

    kinds = ("image",)
    steps: Count = 70_000
    checkpoint_every: Count = 1000
    generator: Literal["deconv", "mlp"] = "deconv"
    """Generator network: transposed convolutions, or fully connected."""
    posterior_steps: Count = 30
    amortizer_width: Count = 256
    """Hidden units of the diffusion model and of its encoder."""
    negative_start: NegativeStart = "both"
    """Where the prior's chains start in learning: at the diffusion model and at N(0, I), or at posterior draws."""
    amortizer_levels: Count = 20
    """Noise levels at which the diffusion model samples."""
    beta1: Decay = 0.5
    """Adam's β1, for every player."""
    energy_lr: Positive = 1e-4
    generator_lr: Positive = 2e-4
    amortizer_lr: Positive = 2e-4
    """Learning rate of the diffusion model (Adam)."""

    def algorithm(self) -> DiffusionAmortized:
        channels, size, _ = self.shape
        if self.generator == "mlp":
            net = mlp_generator(self.latent, self.generator_width, self.shape)
        else:
            net = ready.channels_last(deconv_generator(self.latent, size, channels, self.generator_width))
        encoder = mlp_encoder(self.shape, self.latent, self.amortizer_width, hidden=1)
        return DiffusionAmortized(
            EBM(mlp_f(self.latent, self.energy_width, self.energy_activation), StandardNormal(self.latent)),
            GaussianGenerator(net, self.std),
            LatentDiffusion(
                self.latent, encoder, 2 * self.latent, width=self.amortizer_width, steps=self.amortizer_levels
            ),
            prior_sampler=self.prior_sampler(),
            posterior_sampler=self.posterior_sampler(),
            negative_start=self.negative_start,
        )


@dataclass(frozen=True, kw_only=True)
class DiffusionAmortizedVectors(LatentPriorVectors):
    """Latent-space EBM prior of vectors whose chains start at a small diffusion model of z (Yu et al. 2023)."""

    kinds = ("toy",)
    TINY: ClassVar[dict[str, Any]] = {**LatentPriorVectors.TINY, "amortizer_width": 8}

    amortizer_width: Count = 64
    """Hidden units of the diffusion model and of its encoder."""
    negative_start: NegativeStart = "both"
    """Where the prior's chains start in learning: at the diffusion model and at N(0, I), or at posterior draws."""
    amortizer_levels: Count = 20
    """Noise levels at which the diffusion model samples."""
    amortizer_lr: Positive = 1e-3
    """Learning rate of the diffusion model (Adam)."""

    def algorithm(self) -> DiffusionAmortized:  # type: ignore[override]
        (dim,), width = self.shape, self.amortizer_width
        encoder = mlp([dim, width, 2 * self.latent], "silu")
        return DiffusionAmortized(
            EBM(mlp_f(self.latent, self.energy_width, self.energy_activation), StandardNormal(self.latent)),
            GaussianGenerator(self._net(), self.std),
            LatentDiffusion(self.latent, encoder, 2 * self.latent, width=width, steps=self.amortizer_levels),
            prior_sampler=self.prior_sampler(),
            posterior_sampler=self.posterior_sampler(),
            negative_start=self.negative_start,
        )
