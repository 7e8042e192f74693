"""Dual-MCMC teaching on Fashion-MNIST, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingFashionMNIST
from absynth.recipes.dual_teaching_images import DualTeachingImages


@dataclass(frozen=True, kw_only=True)
class DualTeachingFashionMNIST(TeachingFashionMNIST, DualTeachingImages):
    """Dual-MCMC teaching on Fashion-MNIST, small networks."""
