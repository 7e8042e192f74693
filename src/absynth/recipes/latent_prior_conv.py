"""The latent-space EBM prior with a feature map for z (Xu, thesis, 2021).

z is a 4×4 map of 100 numbers per spatial location, f a small convolutional network on it, the generator transposed
convolutions from the map on: K_0 = 60, K_1 = 30, Adam at 1e-5 and 1e-4 (the thesis says SGD in the text), 200 epochs.
It leaves δ and σ open: 0.4, 0.1 and 0.3 as in Pang et al. 2020. Its text has the sign of the reference's gradient wrong
(f + z in place of f − z) and gives no figures beside its curves.

On MNIST z is 4×4×16, so that a location holds as many numbers as the whole z of the model without a map, as in the
thesis (4×4×100 and 100). ``--latent-shape vector`` is the comparison: z a vector, a generator of as many parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from absynth.algorithms import AlternatingBackprop, LatentPrior
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.networks.feature_maps import map_f, map_generator, vector_generator
from absynth.networks.mlp import Activation, mlp_f
from absynth.recipes._fields import FinalRate, GaussianOutput, ImageOptions, PriorChoice
from absynth.recipes.bounds import Count, Natural, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe

_THESIS = "Xu 2021, its settings; the thesis gives no figures"

PRESETS = {
    "mnist": Preset(
        minutes=2, recorded="latent_prior_conv_mnist", steps=700, batch=25, threads=1, checkpoint_every=300,
        limit=20_000, latent=16, vector=16, energy_width=32, energy_activation="silu", generator_width=48,
        posterior_steps=20, energy_lr=5e-4, generator_lr=8e-3, final_lr=0.0,
    ),
    "svhn": Preset(source=_THESIS, steps=146_400),
    "cifar10": Preset(source=_THESIS),
    "celeba": Preset(source=_THESIS, steps=80_000, limit=40_000),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LatentPriorConv(FinalRate, ImageOptions, GaussianOutput, PriorChoice, Recipe):
    """Latent-space EBM prior with a feature map for z (Xu 2021)."""

    kinds = ("image",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "generator_width": 16, "latent": 2}

    steps: Count = 100_000
    checkpoint_every: Count = 1000
    latent_shape: Literal["map", "vector"] = "map"
    """z as a map; or, for comparison, a vector with a generator of as many parameters."""
    vector: Count = 100
    """Dimension of z as a vector."""
    map_side: Count = 4
    """Spatial locations along a side of z."""
    latent: Count = 100
    """Numbers that a spatial location of z holds."""
    energy_width: Count = 64
    """Maps of the energy network, or its hidden units where z is a vector."""
    energy_activation: Activation = "leaky_relu"
    generator_width: Count = 512
    """Maps of the generator's first layer; each further layer has half as many."""
    posterior_steps: Natural = 30
    energy_lr: Positive = 1e-5

    def algorithm(self) -> LatentPrior | AlternatingBackprop:
        side, width, (channels, size, _) = self.map_side, self.energy_width, self.shape
        net = map_generator(self.latent, side, size, channels, self.generator_width)
        if self.latent_shape == "map":
            reference = StandardNormal(self.latent, side, side)
            f = map_f(self.latent, side, width, self.energy_activation)
        else:
            parameters = sum(p.numel() for p in net.parameters())
            net = vector_generator(self.vector, side, size, channels, self.generator_width, parameters)
            reference, f = StandardNormal(self.vector), mlp_f(self.vector, width, self.energy_activation)
        generator = GaussianGenerator(net, self.std)
        posterior_sampler = self.posterior_sampler()
        if self.prior == "gaussian":
            return AlternatingBackprop(reference, generator, posterior_sampler=posterior_sampler)
        return LatentPrior(
            EBM(f, reference),
            generator,
            prior_sampler=self.prior_sampler(),
            posterior_sampler=posterior_sampler,
        )
