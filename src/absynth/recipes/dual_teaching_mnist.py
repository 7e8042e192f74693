"""Dual-MCMC teaching on MNIST, small networks.

w = 1: of pilots of half a minute (seed 9, measured on training pictures that were left out) w = 0.1 made worse drafts,
w = 4 at twice the rates far worse ones, and S = 10 better ones at half the fidelity. Twice the rates (2e-3) learned
faster and, without the guard, came apart on one seed of two within a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingMNIST
from absynth.recipes.dual_teaching_images import DualTeachingImages


@dataclass(frozen=True, kw_only=True)
class DualTeachingMNIST(TeachingMNIST, DualTeachingImages):
    """Dual-MCMC teaching on MNIST, small networks."""

    inference_teaching: float = 1.0
