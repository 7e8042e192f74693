"""Dual-MCMC teaching on MNIST, small networks.

w = 1 and rates of 2e-3: of pilots of half a minute (seed 9, measured on training pictures that were left out) w = 0.1
made worse drafts, w = 4 far worse ones, S = 10 better ones at half the fidelity, and 1e-3 learned more slowly.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingMNIST
from absynth.recipes.dual_teaching_images import DualTeachingImages


@dataclass(frozen=True, kw_only=True)
class DualTeachingMNIST(TeachingMNIST, DualTeachingImages):
    """Dual-MCMC teaching on MNIST, small networks."""

    inference_teaching: float = 1.0
    generator_lr: float = 2e-3
    inference_lr: float = 2e-3
