"""Cooperative networks on MNIST, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingMNIST
from absynth.recipes.cooperative_images import CooperativeImages


@dataclass(frozen=True, kw_only=True)
class CooperativeMNIST(TeachingMNIST, CooperativeImages):
    """Cooperative networks on MNIST, small networks."""
