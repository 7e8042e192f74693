"""Variational MCMC teaching on Fashion-MNIST, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingFashionMNIST
from absynth.recipes.variational_teaching_images import VariationalTeachingImages


@dataclass(frozen=True, kw_only=True)
class VariationalTeachingFashionMNIST(TeachingFashionMNIST, VariationalTeachingImages):
    """Variational MCMC teaching on Fashion-MNIST, small networks."""
