"""Alternating back-propagation on MNIST, at a size that a CPU core trains in a minute: generator 16-400-400-784."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.data.images import Images
from absynth.recipes.abp_images import ABPImages
from absynth.recipes.latent_prior_mnist import read


@dataclass(frozen=True, kw_only=True)
class ABPMNIST(ABPImages):
    """Alternating back-propagation on MNIST, small network."""

    steps: int = 900
    threads: int = 1
    checkpoint_every: int = 300
    limit: int = 20_000
    latent: tuple[int, ...] = (16,)
    generator: Literal["deconv", "mlp", "layered_deconv", "layered_mlp"] = "mlp"
    width: int = 400
    lr: float = 1e-3

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)
