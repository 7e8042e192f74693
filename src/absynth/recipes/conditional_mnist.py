"""Label to digit by cooperative learning, at a size that one CPU core trains in three minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.conditional_images import ConditionalImages
from absynth.recipes.latent_prior_mnist import read


@dataclass(frozen=True, kw_only=True)
class ConditionalMNIST(ConditionalImages):
    """Conditional cooperative learning of MNIST, label to digit, small networks."""

    steps: int = 1300
    batch: int = 64
    threads: int = 1
    checkpoint_every: int = 260
    latent: int = 32
    chain_steps: int = 10
    ebm_lr: float = 1e-3
    generator_lr: float = 1e-3
    ebm_width: int = 16
    generator_width: int = 16

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
