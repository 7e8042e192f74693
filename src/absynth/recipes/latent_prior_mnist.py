"""The latent-space EBM prior on MNIST, at a size that two CPU cores train in two minutes.

The small network and budget of a first measurement: z of 16, generator 16-400-400-784, f 16-100-100-1, 900 updates on
20,000 pictures. ``--generator deconv --ngf 64 --latent 100 --nef 200`` with the rates of Pang et al. 2020 is the
paper's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from absynth.data import images
from absynth.data.images import Images
from absynth.recipes.latent_prior_images import LatentPriorImages


@dataclass(frozen=True, kw_only=True)
class LatentPriorMNIST(LatentPriorImages):
    """Latent-space EBM prior on MNIST, small networks."""

    steps: int = 900
    threads: int = 1
    checkpoint_every: int = 300
    limit: int = 20_000
    latent: int = 16
    nef: int = 100
    generator: Literal["deconv", "deconv_cifar10", "mlp"] = "mlp"
    ngf: int = 400
    prior_lr: float = 5e-4
    generator_lr: float = 1e-3
    init: Literal["xavier", "default"] = "default"

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)


@lru_cache(maxsize=4)
def read(data: str, split: Literal["train", "test"]) -> Images:
    """MNIST, read once a process."""
    return images.mnist(images.find_root(data, "mnist"), split)
