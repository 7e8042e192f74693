"""The divergence triangle on Fashion-MNIST, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingFashionMNIST
from absynth.recipes.divergence_triangle_images import DivergenceTriangleImages


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleFashionMNIST(TeachingFashionMNIST, DivergenceTriangleImages):
    """The divergence triangle on Fashion-MNIST, small networks."""

    steps: int = 4000
    checkpoint_every: int = 1000
