"""Cooperative networks on Fashion-MNIST, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingFashionMNIST
from absynth.recipes.cooperative_images import CooperativeImages


@dataclass(frozen=True, kw_only=True)
class CooperativeFashionMNIST(TeachingFashionMNIST, CooperativeImages):
    """Cooperative networks on Fashion-MNIST, small networks."""
