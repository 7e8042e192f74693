"""Variational MCMC teaching on MNIST, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingMNIST
from absynth.recipes.variational_teaching_images import VariationalTeachingImages


@dataclass(frozen=True, kw_only=True)
class VariationalTeachingMNIST(TeachingMNIST, VariationalTeachingImages):
    """Variational MCMC teaching on MNIST, small networks."""
