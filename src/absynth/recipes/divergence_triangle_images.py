"""The divergence triangle (Han et al. 2019) on your own pictures.

No chain runs in learning; the chain here revises drafts where that is asked for, by true Langevin: f is a log density
at temperature 1. The authors' numbers are those of ``divergence_triangle_cifar10``.
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._divergence_triangle import DivergenceTriangleRecipe
from absynth.recipes._teaching import TeachingImages


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleImages(TeachingImages, DivergenceTriangleRecipe):
    """The divergence triangle on your own pictures."""

    steps: int = 20_000
    chain_steps: int = 15
    step_size: float = 0.01
    temperature: float = 1.0
    ebm_lr: float = 1e-4
    generator_lr: float = 3e-4
    inference_lr: float = 3e-4
