"""The latent-space EBM prior with a feature-map z on MNIST, at a size that one CPU core trains in two minutes.

z of 4×4×16, so that a site holds as many numbers as the whole z of the recipe without a map, as in the thesis (4×4×100
beside 100); generator 4 → 7 → 14 → 28 of 48, 24 and 1 maps, f of two convolutions of 32 maps. ``--shape vector`` is the
comparison: z a vector of 16, a generator of as many parameters. With ``--maps 4`` a map reconstructs about as well
as a vector of 16 and worse than a vector of 64 (one pilot each): a code of local patches pays with more numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.networks.mlp import Activation
from absynth.recipes.latent_prior_conv_images import LatentPriorConvImages
from absynth.recipes.latent_prior_mnist import read


@dataclass(frozen=True, kw_only=True)
class LatentPriorConvMNIST(LatentPriorConvImages):
    """Latent-space EBM prior with a 4×4×4 feature-map z on MNIST, small networks."""

    steps: int = 700
    batch: int = 25
    threads: int = 1
    checkpoint_every: int = 300
    limit: int = 20_000
    maps: int = 16
    vector: int = 16
    f_width: int = 32
    ebm_activation: Activation = "silu"
    ngf: int = 48
    posterior_steps: int = 20
    prior_lr: float = 5e-4
    generator_lr: float = 8e-3
    last_lr: float = 0.0

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
