"""Dual-MCMC teaching on Fashion-MNIST: the recipe of the digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.recipes.dual_teaching_mnist import DualTeachingMNIST


@dataclass(frozen=True, kw_only=True)
class DualTeachingFashionMNIST(DualTeachingMNIST):
    """Dual-MCMC teaching on Fashion-MNIST, small networks."""

    source: Literal["mnist", "fashion_mnist"] = "fashion_mnist"
