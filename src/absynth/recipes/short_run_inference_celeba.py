"""Short-run inference of a five-layer generator on CelebA, the numbers of Nijkamp et al. 2020's code.

z of 128, 96, 64, 64, 64 from the top; K = 25, δ = 0.05, σ = 0.15; Adam at 8e-5, halved after 50, 100 and 300 epochs of
the first 40,000 pictures. The features follow ``absynth.networks.layered``, not the authors' widths, and the
pictures have 64×64 pixels where theirs have 32×32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.abp_images import ABPImages
from absynth.recipes.latent_prior_celeba import read


@dataclass(frozen=True, kw_only=True)
class ShortRunInferenceCelebA(ABPImages):
    """Short-run inference of a five-layer generator on CelebA."""

    steps: int = 240_000
    limit: int = 40_000
    latent: tuple[int, ...] = (128, 96, 64, 64, 64)
    generator: Literal["deconv", "mlp", "layered_deconv", "layered_mlp"] = "layered_deconv"
    std: float = 0.15
    start: Literal["last", "noise"] = "noise"
    posterior_steps: int = 25
    posterior_step_size: float = 0.05
    lr: float = 8e-5

    def schedule(self, step: int) -> float:
        epoch = step * self.batch // self.limit
        return 0.5 ** sum(epoch >= turn for turn in (50, 100, 300))

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
