"""Dual-MCMC teaching (Cui and Han 2023; ``absynth.algorithms.dual_teaching``) on a user's own pictures.

The chain on x is that of the short-run recipes, started at drafts. The authors' numbers are those of
``dual_teaching_cifar10``.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._dual_teaching import DualTeachingRecipe
from absynth.recipes._teaching import TeachingImages


@dataclass(frozen=True, kw_only=True)
class DualTeachingImages(TeachingImages, DualTeachingRecipe):
    """Dual-MCMC teaching on your own pictures."""
