"""Dual-MCMC teaching on MNIST, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingMNIST
from absynth.recipes.dual_teaching_images import DualTeachingImages


@dataclass(frozen=True, kw_only=True)
class DualTeachingMNIST(TeachingMNIST, DualTeachingImages):
    """Dual-MCMC teaching on MNIST, small networks."""
