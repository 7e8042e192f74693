"""Coarse-to-fine expansion with the sampler of Zhao, Xie, Li, ICLR 2021, and their code.

K = 15 steps per stage of x + ∇f + s·ε, s from 0.015 to 0 over all stages; as many updates at each resolution but for
the last, the first half of which fade the new one in. What differs: plain convolutions (theirs residual, under spectral
norm), one learning rate for all stages where theirs rises by 5e-4 with each from 1e-3, batches of 64 for 256 to 64.
Their FID on CIFAR-10 belongs to their network and 1.2 million images per stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.distributions import Uniform
from absynth.networks.growing import GrowingConv
from absynth.networks.ready import channels_last
from absynth.recipes._multiscale import MultiscaleRecipe
from absynth.recipes.bounds import Count, Decay, NonNegative, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers.multiscale import fading

PRESETS = {
    "mnist": Preset(
        minutes=4, recorded="multiscale_mnist.FD, coarse to fine", steps=1500, checkpoint_every=100, energy_width=16
    ),
    "cifar10": Preset(
        source="Zhao et al. 2021 and their code", published="FID 16.71", checkpoint_every=1000, data_noise=0.02
    ),
    "flag": Preset(minutes=5, steps=300, batch=4, threads=1, grids=2, energy_width=8, energy_lr=1e-3),
    "modelnet10": Preset(minutes=6, size=16, steps=900, batch=16, threads=1, energy_width=8, energy_lr=1e-3),
}


@dataclass(frozen=True, kw_only=True)
class CoarseToFineRecipe(MultiscaleRecipe):
    """Coarse-to-fine expansion of an energy-based model of images, clips or shapes (Zhao et al. 2021)."""

    resumable: ClassVar[frozenset[str]] = Recipe.resumable - {"steps"}
    """Growth is a share of the updates: another number of them would return a grown model to an earlier stage."""

    steps: Count = 60_000
    beta1: Decay = 0.5
    """Adam's β1."""
    noise_scale: NonNegative = 0.015
    """Standard deviation s of the first step's noise; it falls to 0 over the steps of all stages."""
    last_share: Share = 0.5
    """Share of the updates that the finest stage gets; the others have equal parts of the rest."""

    def algorithm(self) -> CoarseToFine:
        sizes, channels = self.sizes, self.shape[0]
        coarsest = self.sides(sizes[0])
        f = GrowingConv(channels, sizes, self.energy_width, self.energy_activation, coarsest)
        return CoarseToFine(
            channels_last(f) if len(coarsest) == 2 else f,  # type: ignore[arg-type]
            Uniform(channels, *coarsest),
            samplers=fading([self.chain_steps] * len(sizes), self.chain_step_size, self.noise_scale),
            data_noise=self.data_noise,
            last_share=self.last_share,
        )
