"""The divergence triangle on MNIST, small networks.

f is a log density at temperature 1 here, so drafts are revised by true Langevin, in small steps.
With the weights of the authors' CIFAR-10 code (at d = 16: --std .1768 --energy 16 --entropy 1.6 --sleep 1.6) drafts
were better after half a minute and came apart within a minute, and f of noise was above f of digits on one seed of two.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingMNIST
from absynth.recipes.divergence_triangle_images import DivergenceTriangleImages


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleMNIST(TeachingMNIST, DivergenceTriangleImages):
    """The divergence triangle on MNIST, small networks."""

    steps: int = 4000
    ebm_lr: float = 1e-4
    step_size: float = 0.01
    temperature: float = 1.0
    checkpoint_every: int = 1000
