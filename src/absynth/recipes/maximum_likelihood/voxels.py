"""Maximum likelihood learning of an EBM of voxels: the generative VoxelNet.

Xie, Zheng, Gao, Wang, Zhu, Wu: "Learning Descriptor Networks for 3D Shape Synthesis and Analysis", CVPR 2018,
arXiv:1804.00586. The paper and its authors' code learn from 32³ voxels less one global mean, with 25 persistent chains,
20 steps of δ = .1 and N(0, .5²) as the reference, and leave the noise out after 100 epochs: chains that seek modes.
Here chains are short runs from noise in [−1, 1] with little noise throughout, as for images, and a voxel is occupied
where x > 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.networks import ready
from absynth.recipes._fields import ColdChains, FinalShare, VoxelOptions
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive, Share
from absynth.recipes.maximum_likelihood._chains import MaximumLikelihoodRecipe
from absynth.recipes.presets import Preset

PRESETS = {"modelnet10": Preset(minutes=4, size=16, steps=600)}


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodVoxels(FinalShare, ColdChains, VoxelOptions, MaximumLikelihoodRecipe):
    """Generative VoxelNet: an energy-based model of shapes, by maximum likelihood with short chains (Xie et al.)."""

    kinds = ("voxels",)
    TINY: ClassVar[dict[str, Any]] = {**MaximumLikelihoodRecipe.TINY, "size": 16}

    steps: Count = 2000
    batch: Count = 16
    threads: int = 1
    checkpoint_every: Count = 100
    energy_width: Count = 16
    stem: Literal[1, 2] = 2
    """Stride of f's first convolution; 2 is several times as fast, and lets f be wider."""
    chain_steps: Count = 20
    data_noise: NonNegative = 0.05
    energy_lr: Positive = 5e-4
    beta1: Decay = 0.9
    final_share: Share = 0.5

    def algorithm(self) -> MaximumLikelihood:
        f = ready.energy("voxels", self.shape, self.energy_width, act=self.energy_activation, stem=self.stem)
        return self._of(f, 1.0)
