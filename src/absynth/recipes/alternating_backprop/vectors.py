"""Alternating back-propagation of vectors with a linear generator: factor analysis by Langevin.

The posterior of z and the best likelihood are known in closed form (Tipping and Bishop 1999), so what is learned can be
compared with the truth (``absynth reproduce ppca``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm, AlternatingBackprop
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.errors import InputError
from absynth.networks.mlp import mlp
from absynth.recipes.bounds import Count, Natural, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromLast, FromNoise, Langevin
from absynth.seeding import stream

CHAINS = int.from_bytes(b"bank", "big")
"""Separates the first z from a step's noise."""

PRESETS = {
    "linear_factors": Preset(minutes=0.5, recorded="ppca"),
    "breast_cancer": Preset(minutes=0.5, generator_width=64, latent=8),
}


@dataclass(frozen=True, kw_only=True)
class AlternatingBackpropVectors(Recipe):
    """Alternating back-propagation of vectors, with a linear or a small generator (Han et al. 2017)."""

    kinds = ("toy", "table")
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "posterior_steps": 3}

    target: str = ""
    """Column of a table that holds classes; empty: none."""
    steps: Count = 3000
    threads: int = 1
    latent: Count = 2
    """Dimension of z."""
    generator_width: Natural = 0
    """Hidden units of the generator's two hidden layers; 0 is a linear generator."""
    std: Positive = 0.5
    """Standard deviation σ of p(x|z)."""
    posterior_start: Literal["last", "noise"] = "last"
    """Initialization of a chain on z: where the example's last one ended, or fresh noise (short run)."""
    posterior_steps: Natural = 10
    """Number of Langevin steps on z per visit."""
    posterior_step_size: Positive = 0.1
    """Step size δ of the chain on z."""
    generator_lr: Positive = 1e-2
    """Learning rate at the beginning (Adam); it falls to 0 linearly."""

    def algorithm(self) -> AlternatingBackprop:
        z, (dim,), width = StandardNormal(self.latent), self.shape, self.generator_width
        start = FromNoise(z)
        if self.posterior_start == "last":
            if not self.examples.examples:
                raise InputError("--posterior-start last needs a finite data set, got an unlimited one: give noise")
            start = FromLast(self.examples.examples, z, rng=stream(self.seed, 0, 0, CHAINS))
        net = mlp([self.latent, width, width, dim], "silu") if width else nn.Linear(self.latent, dim)
        return AlternatingBackprop(
            z,
            GaussianGenerator(net, self.std),
            posterior_sampler=Langevin(self.posterior_steps, self.posterior_step_size),
            posterior_start=start,
        )

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"generator": Adam(algorithm.get_submodule("generator").parameters(), self.generator_lr)}

    def schedule(self, step: int) -> float:
        return 1 - step / self.steps
