"""The divergence triangle on CIFAR-10, at the authors' settings (Han et al., CVPR 2019, and their code).

Rates 1e-4 and 3e-4, times .998 an epoch, weight decay 5e-4 on the generator, 1,500 epochs of batches of 100. Their
weights of the three sides are :mod:`absynth.algorithms.divergence_triangle`'s at d = 100. They also clip gradients at a
norm of 100, which this loop does not. Published: IS 7.23, FID 30.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import Optimizer

from absynth.data.images import Images
from absynth.recipes.divergence_triangle_images import DivergenceTriangleImages
from absynth.recipes.latent_prior_cifar10 import read


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleCIFAR10(DivergenceTriangleImages):
    """The divergence triangle on CIFAR-10, the authors' settings."""

    steps: int = 750_000
    checkpoint_every: int = 1000
    std: float = 200**-0.5
    energy: float = 100.0
    entropy: float = 10.0
    sleep: float = 10.0
    weight_decay: float = 5e-4
    """Pull of the generator's weights towards 0, as a gradient."""

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        found = super().optimizers(algorithm)
        found["inference"].param_groups[0]["weight_decay"] = 0.0  # theirs has none
        return found

    def schedule(self, step: int) -> float:
        return 0.998 ** (step * self.batch // 50_000)
