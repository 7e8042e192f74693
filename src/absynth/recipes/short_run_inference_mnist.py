"""Short-run inference of a three-layer generator on MNIST (Nijkamp et al. 2020), small network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.recipes.abp_mnist import ABPMNIST


@dataclass(frozen=True, kw_only=True)
class ShortRunInferenceMNIST(ABPMNIST):
    """Short-run inference of a three-layer generator on MNIST, small network."""

    latent: tuple[int, ...] = (16, 16, 16)
    generator: Literal["deconv", "mlp", "layered_deconv", "layered_mlp"] = "layered_mlp"
    start: Literal["last", "noise"] = "noise"
