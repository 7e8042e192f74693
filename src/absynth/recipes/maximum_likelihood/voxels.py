"""Maximum likelihood learning of an EBM of voxels: the generative VoxelNet.

Xie, Zheng, Gao, Wang, Zhu, Wu: "Learning Descriptor Networks for 3D Shape Synthesis and Analysis", CVPR 2018,
arXiv:1804.00586. The paper and its authors' code learn from 32³ voxels less one global mean, with 25 persistent chains,
20 steps of δ = .1 and N(0, .5²) as the reference, and leave the noise out after 100 epochs: chains that seek modes.
Here chains are short runs from noise in [−1, 1] with little noise throughout, as for images, and a voxel is occupied
where x > 0.

``--recover`` learns to complete shapes in place of making them, as in the paper's recovery experiment: chains begin at
a Gaussian's conditional mean (``--start gaussian``) and f learns what it lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from absynth.algorithms.learned_recovery import LearnedRecovery
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.hidden import Hidden
from absynth.gaussian import FactorGaussian
from absynth.networks import ready
from absynth.recipes._fields import ColdChains, FinalShare, VoxelOptions
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive, Share
from absynth.recipes.maximum_likelihood._chains import MaximumLikelihoodRecipe
from absynth.recipes.presets import Preset
from absynth.samplers import FromNoise

PRESETS = {
    "modelnet10": Preset(minutes=4, size=16, steps=600),
    "modelnet10/recovery": Preset(
        minutes=6, recorded="voxel_recovery", size=16, steps=600, batch=24, chain_steps=10, energy_lr=1e-3,
        start="gaussian", recover="both",
    ),
}  # fmt: skip
HOLES: dict[Hidden, float] = {"pixels": 0.7, "block": 0.5}
"""What ``--recover`` hides, and its share."""
FACTORS, RIDGE = 300, 3**0.5
"""Number of factors and σ of the Gaussian that chains begin at; edges of shapes need a ridge."""


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
    start: Literal["noise", "gaussian", "persistent", "data"] = "noise"  # type: ignore[assignment]
    """Chain initialization: noise (short run), a Gaussian of few factors of the training shapes, which is conditional
    where a part of a shape is given, a replay buffer, the data."""
    recover: Literal["nothing", "pixels", "block", "both"] = "nothing"
    """What f learns to recover, hidden anew in each update: seven of ten voxels, half of a shape in one piece, or
    either; it then learns no shapes as a whole."""
    stem: Literal[1, 2] = 2
    """Stride of f's first convolution; 2 is several times as fast, and lets f be wider."""
    chain_steps: Count = 20
    data_noise: NonNegative = 0.05
    energy_lr: Positive = 5e-4
    beta1: Decay = 0.9
    final_share: Share = 0.5

    def algorithm(self) -> MaximumLikelihood:
        f = ready.energy("voxels", self.shape, self.energy_width, act=self.energy_activation, stem=self.stem)
        model = self._of(f, 1.0)
        if self.start == "gaussian":
            law, data = FactorGaussian(*self.shape, rank=FACTORS, std=RIDGE), self.examples
            model.start = FromNoise(law.fit(data.all()) if len(data) else law)
        return model

    def _learning(self) -> Callable[..., MaximumLikelihood]:
        if self.recover == "nothing":
            return super()._learning()
        return partial(LearnedRecovery, holes={k: v for k, v in HOLES.items() if self.recover in (k, "both")})
