"""A generator with an energy-based prior that tilts a mixture of Gaussians fitted to the posterior, for images.

The generator's noise is small (σ .15), so that reconstructions are sharp; its posterior draws spread over more than
N(0, I), and the prior is learned for them, without chains.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from absynth.algorithms.mixture_prior import MixturePrior
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference
from absynth.networks.encoder import mlp_encoder
from absynth.networks.mlp import mlp_f, mlp_generator
from absynth.recipes._fields import GaussianOutput, ImageOptions, PriorChain, linear_end
from absynth.recipes.bounds import Count, Decay, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.references import EMMixture

PRESETS = {
    "mnist": Preset(minutes=6, recorded="mixture_prior_mnist", threads=1),
    "mnist5k": Preset(minutes=5, threads=1, components=50),
    "fashion_mnist": Preset(minutes=6, threads=1),
}


@dataclass(frozen=True, kw_only=True)
class MixturePriorRecipe(ImageOptions, GaussianOutput, PriorChain, Recipe):
    """Latent-space EBM prior that tilts a mixture of Gaussians fitted to the posterior; learned without chains."""

    kinds = ("image",)
    fused = True
    steps: Count = 2400
    checkpoint_every: Count = 400
    std: Positive = 0.15
    latent: Count = 32
    generator_width: Count = 800
    """Hidden units of the generator's two layers."""
    inference_width: Count = 400
    """Hidden units of the inference network."""
    posterior_steps: Count = 10
    posterior_step_size: Positive = 0.05
    prior_step_size: Positive = 0.1
    components: Count = 200
    """Gaussians of the mixture."""
    memory: Count = 20_000
    """Posterior draws that the mixture is fitted to."""
    collect_from: Share = 0.6
    """Share of the updates after which generator and inference network stand still and posterior draws are
    collected."""
    fit_from: Share = 0.7
    """Share of the updates after which the mixture is fitted and f learns."""
    beta1: Decay = 0.5
    """Adam's β1, for every player."""
    energy_lr: Positive = 1e-3
    generator_lr: Positive = 1e-3

    def algorithm(self) -> MixturePrior:
        f = mlp_f(self.latent, self.energy_width, self.energy_activation)
        for p in f[-2].parameters():
            nn.init.zeros_(p)  # the prior begins as N(0, I)
        return MixturePrior(
            EBM(f, EMMixture(self.latent, self.components)),
            GaussianGenerator(mlp_generator(self.latent, self.generator_width, self.shape), self.std),
            GaussianInference(mlp_encoder(self.shape, self.latent, self.inference_width, hidden=1)),
            prior_sampler=self.prior_sampler(),
            posterior_sampler=self.posterior_sampler(),
            memory=self.memory,
            phases=(self.collect_from, self.fit_from),
        )

    def schedule(self, step: int) -> float:
        """Each of the two learning phases ends at a learning rate of 0."""
        generator = round(self.collect_from * self.steps)
        if step < generator:
            return linear_end(step, generator, 0.5)
        first = round(self.fit_from * self.steps)
        return linear_end(max(step - first, 0), max(self.steps - first, 1), 0.5)
