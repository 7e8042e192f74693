"""A generator with an energy-based prior that learns by energy discrepancy: no prior chain in training.

Prior: Pang et al. 2020; its loss: Schröder et al., NeurIPS 2023. Posterior chains start at an inference network, so few
steps do. On the set ``linear_modes`` the truth is known (see :mod:`absynth.recipes.latent_prior.vectors`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from absynth.algorithms.discrepancy_prior import DiscrepancyPrior
from absynth.algorithms.perturbations import GaussianNoise
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal
from absynth.networks.encoder import mlp_encoder
from absynth.networks.mlp import mlp, mlp_f, mlp_generator
from absynth.recipes._fields import GaussianOutput, ImageOptions, PriorChain
from absynth.recipes.bounds import Count, Decay, Positive
from absynth.recipes.latent_prior.vectors import PRESETS as VECTORS
from absynth.recipes.latent_prior.vectors import LatentPriorVectors
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.references import FollowedNormal

PRESETS = {
    "mnist": Preset(minutes=1, threads=1, limit=20_000, reference="followed", recorded="discrepancy_prior_mnist"),
    "mnist5k": Preset(minutes=1, threads=1, reference="followed"),
    "fashion_mnist": Preset(minutes=1, threads=1, limit=20_000, reference="followed"),
    "linear_modes": Preset(
        minutes=0.5, recorded="discrepancy_prior_toy", **VECTORS["linear_modes"].fields | {"contrasts": 8}
    ),
    "ring": Preset(minutes=0.5, **VECTORS["ring"].fields),
    "breast_cancer": Preset(minutes=0.5, **VECTORS["breast_cancer"].fields),
}


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """The loss of the prior."""

    variance: Positive = 0.25
    """Variance t of the noise on z: of the order of the narrowest mode's variance, up to a few times that."""
    reference: Literal["standard", "followed"] = "standard"
    """Reference p_0 of the prior: N(0, I), or a Gaussian whose mean and covariance follow the posterior's draws."""
    contrasts: Count = 16
    """Perturbed latents M that each posterior draw is compared with."""
    posterior_steps: Count = 5
    """Number of Langevin steps on the posterior (K_1)."""
    inference_width: Count = 200
    """Hidden units of the inference network."""

    def latent_law(self, dim: int) -> StandardNormal | FollowedNormal:
        """p_0(z)."""
        return FollowedNormal(dim, memory=3000.0) if self.reference == "followed" else StandardNormal(dim)


@dataclass(frozen=True, kw_only=True)
class DiscrepancyPriorImages(Discrepancy, ImageOptions, GaussianOutput, PriorChain, Recipe):
    """Latent-space EBM prior learned by energy discrepancy, without prior chains."""

    kinds = ("image",)
    fused = True
    steps: Count = 900
    checkpoint_every: Count = 300
    latent: Count = 16
    generator_width: Count = 400
    """Hidden units of the generator's two layers."""
    prior_steps: Count = 500
    """Number of Langevin steps of a sample (none run in training)."""
    prior_step_size: Positive = 0.2
    energy_width: Count = 100
    beta1: Decay = 0.5
    """Adam's β1, for every player."""
    energy_lr: Positive = 1e-3
    generator_lr: Positive = 1e-3

    def algorithm(self) -> DiscrepancyPrior:
        return DiscrepancyPrior(
            EBM(mlp_f(self.latent, self.energy_width, self.energy_activation), self.latent_law(self.latent)),
            GaussianGenerator(mlp_generator(self.latent, self.generator_width, self.shape), self.std),
            inference=GaussianInference(mlp_encoder(self.shape, self.latent, self.inference_width, hidden=1)),
            prior_sampler=self.prior_sampler(),
            posterior_sampler=self.posterior_sampler(),
            perturb=GaussianNoise(self.variance),
            contrasts=self.contrasts,
        )


@dataclass(frozen=True, kw_only=True)
class DiscrepancyPriorVectors(Discrepancy, LatentPriorVectors):
    """Latent-space EBM prior of vectors learned by energy discrepancy, without prior chains."""

    kinds = ("toy", "table")
    TINY: ClassVar[dict[str, Any]] = {**LatentPriorVectors.TINY, "inference_width": 8}

    inference_width: Count = 64

    def algorithm(self) -> DiscrepancyPrior:  # type: ignore[override]
        (dim,) = self.shape
        return DiscrepancyPrior(
            EBM(mlp_f(self.latent, self.energy_width, self.energy_activation), self.latent_law(self.latent)),
            GaussianGenerator(self._net(), self.std),
            inference=GaussianInference(mlp([dim, self.inference_width, 2 * self.latent], "silu")),
            prior_sampler=self.prior_sampler(),
            posterior_sampler=self.posterior_sampler(),
            perturb=GaussianNoise(self.variance),
            contrasts=self.contrasts,
        )
