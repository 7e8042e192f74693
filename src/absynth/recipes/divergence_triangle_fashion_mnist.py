"""The divergence triangle on Fashion-MNIST: the recipe of the digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.recipes.divergence_triangle_mnist import DivergenceTriangleMNIST


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleFashionMNIST(DivergenceTriangleMNIST):
    """The divergence triangle on Fashion-MNIST, small networks."""

    source: Literal["mnist", "fashion_mnist"] = "fashion_mnist"
