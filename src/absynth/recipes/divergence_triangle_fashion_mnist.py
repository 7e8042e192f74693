"""The divergence triangle on Fashion-MNIST, small networks.

f is a log density at temperature 1 here, so drafts are revised by true Langevin, in small steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingFashionMNIST
from absynth.recipes.divergence_triangle_images import DivergenceTriangleImages


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleFashionMNIST(TeachingFashionMNIST, DivergenceTriangleImages):
    """The divergence triangle on Fashion-MNIST, small networks."""

    steps: int = 4000
    ebm_lr: float = 1e-4
    step_size: float = 0.01
    temperature: float = 1.0
    checkpoint_every: int = 1000
