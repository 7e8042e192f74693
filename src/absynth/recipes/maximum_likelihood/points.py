"""Maximum likelihood learning of an EBM of point clouds: the generative PointNet (Xie et al. 2021).

The paper learns 2,048 points with 64 steps of δ = .01 from N(0, .3²) and layer normalization over the points. Here 128
points, no normalization, and 32 steps of x + .02 ∇f + .01 ε from N(0, .5²): with less noise the points of a chair's
legs stay apart. The chain without noise is a generator of its initial state: ``reconstruct`` and ``interpolate``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.networks.pointnet import PointF
from absynth.recipes._fields import ColdChains, FinalShare
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive, Share
from absynth.recipes.maximum_likelihood._chains import MaximumLikelihoodRecipe
from absynth.recipes.presets import Preset

PRESETS = {"modelnet10_points": Preset(minutes=0.8, recorded="point_clouds")}


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodPoints(FinalShare, ColdChains, MaximumLikelihoodRecipe):
    """Generative PointNet: an energy-based model of point clouds, by maximum likelihood with short chains."""

    kinds = ("points",)
    TINY: ClassVar[dict[str, Any]] = {**MaximumLikelihoodRecipe.TINY, "points": 32}

    points: Natural = 128
    """Number of points of a cloud, drawn once from those that there are; 0 keeps as many as the smallest cloud has."""
    steps: Count = 400
    batch: Count = 32
    threads: int = 1
    checkpoint_every: Count = 100
    energy_width: Count = 64
    """Number of waves that see the points; the layers of the head have four times as many units."""
    start_std: NonNegative = 0.5
    chain_steps: Count = 32
    chain_step_size: Positive = 0.2
    temperature: NonNegative = 0.0025
    data_noise: NonNegative = 0.01
    energy_lr: Positive = 5e-4
    beta1: Decay = 0.9
    final_share: Share = 0.4

    def algorithm(self) -> MaximumLikelihood:
        f = PointF(self.energy_width, self.energy_activation)
        if len(self.examples) > 1:  # else the saved statistics stand
            f.standardize(self.examples.all())
        return self._of(f, 10.0)
