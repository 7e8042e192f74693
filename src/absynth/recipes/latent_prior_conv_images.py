"""The latent-space EBM prior with a feature map for z, on a user's own pictures (Xu, thesis, 2021).

z is a 4×4 map of 100 numbers a site, f a small convolutional network on it, the generator deconvolutional from the map
on: K_0 = 60, K_1 = 30, Adam at 1e-5 and 1e-4 (the thesis says SGD in the text), 200 epochs. It leaves open δ and σ:
0.4, 0.1 and 0.3 as in Pang et al. 2020. Its text has the sign of the reference's gradient wrong (f + z in place of
f − z) and gives no figures beside its curves. The other recipes of this family are this one with a data set's numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms import AlternatingBackprop, LatentPrior
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.networks.feature_maps import map_f, map_generator, vector_generator
from absynth.networks.mlp import Activation, mlp_f
from absynth.recipes._pictures import PictureRecipe
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin


@dataclass(frozen=True, kw_only=True)
class LatentPriorConvImages(PictureRecipe):
    """Latent-space EBM prior with a feature-map z (Xu 2021) on your own pictures."""

    steps: int = 100_000
    checkpoint_every: int = 1000
    prior: Literal["ebm", "gaussian"] = "ebm"
    """Learned prior, or the fixed N(0, I)."""
    shape: Literal["map", "vector"] = "map"
    """z as a map; or, for comparison, a vector with a generator of as many parameters."""
    vector: int = 100
    """Numbers in z where it is a vector."""
    map_side: int = 4
    """Sites along a side of z."""
    maps: int = 100
    """Numbers a site of z holds."""
    f_width: int = 64
    """Maps of f, or its hidden units where z is a vector."""
    ebm_activation: Activation = "leaky_relu"
    """Activation of f."""
    ngf: int = 512
    """Maps of the generator's first layer; each further layer has half as many."""
    std: float = 0.3
    """σ of p(x|z), for pictures in [-1, 1]."""
    prior_steps: int = 60
    """K_0, Langevin steps on the prior."""
    prior_step_size: float = 0.4
    """δ of the prior chain, in z + (δ²/2)·score + δ·noise."""
    posterior_steps: int = 30
    """K_1, Langevin steps on the posterior."""
    posterior_step_size: float = 0.1
    """δ of the posterior chain."""
    prior_lr: float = 1e-5
    """Adam's rate for f."""
    generator_lr: float = 1e-4
    """Adam's rate for the generator."""
    beta1: float = 0.5
    """Adam's first β, for both players."""
    last_lr: float = 1.0
    """Factor on both rates at the last update, reached linearly."""

    def algorithm(self) -> LatentPrior:
        side, width = self.map_side, self.f_width
        net = map_generator(self.maps, side, self.size, self.channels, self.ngf)
        if self.shape == "map":
            reference = StandardNormal(self.maps, side, side)
            f = map_f(self.maps, side, width, self.ebm_activation)
        else:
            parameters = sum(p.numel() for p in net.parameters())
            net = vector_generator(self.vector, side, self.size, self.channels, self.ngf, parameters)
            reference, f = StandardNormal(self.vector), mlp_f(self.vector, width, self.ebm_activation)
        generator = GaussianGenerator(net, self.std)
        posterior_sampler = Langevin(self.posterior_steps, self.posterior_step_size)
        if self.prior == "gaussian":
            return AlternatingBackprop(reference, generator, posterior_sampler=posterior_sampler)
        return LatentPrior(
            EBM(f, reference),
            generator,
            prior_sampler=Langevin(self.prior_steps, self.prior_step_size),
            posterior_sampler=posterior_sampler,
        )

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"prior": self.prior_lr, "generator": self.generator_lr}
        if self.prior == "gaussian":
            del rates["prior"]
        betas = (self.beta1, 0.999)
        return {k: Adam(algorithm.get_submodule(k).parameters(), lr, betas) for k, lr in rates.items()}

    def schedule(self, step: int) -> float:
        return 1 - (1 - self.last_lr) * min(step / self.steps, 1)

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, limit=64, f_width=8, ngf=16, maps=2, prior_steps=3, posterior_steps=3,
            log_every=1, checkpoint_every=2,
        )  # fmt: skip
