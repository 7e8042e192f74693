"""The divergence triangle on MNIST, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingMNIST
from absynth.recipes.divergence_triangle_images import DivergenceTriangleImages


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleMNIST(TeachingMNIST, DivergenceTriangleImages):
    """The divergence triangle on MNIST, small networks."""

    steps: int = 4000
    checkpoint_every: int = 1000
