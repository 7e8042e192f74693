"""The divergence triangle on CIFAR-10, at the authors' settings (Han et al., CVPR 2019, and their code).

Rates 1e-4 and 3e-4, times .998 an epoch, weight decay 5e-4 on the generator, 1,500 epochs of batches of 100. Their
weights of the three sides are :mod:`absynth.algorithms.divergence_triangle`'s at d = 100. Gradients are shortened to a
norm of 100 in the scale of their losses, of which the generator's and the inference model's are 100 times as large
here. Published: IS 7.23, FID 30.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
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
    clip: float = 100.0
    """Norm that a player's gradient is shortened to, where its loss is as in the authors' code."""

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        found = super().optimizers(algorithm)
        found["inference"].param_groups[0]["weight_decay"] = 0.0  # theirs has none
        for name, optimizer in found.items():
            norm = self.clip if name == "ebm" else self.clip * self.energy
            optimizer.register_step_pre_hook(partial(shorten, norm=norm))
        return found

    def schedule(self, step: int) -> float:
        return 0.998 ** (step * self.batch // 50_000)


def shorten(optimizer: Optimizer, _args: tuple, _kwargs: dict, *, norm: float) -> None:
    """Before a step: the gradient of all of the optimizer's parameters, shortened to ``norm`` where it is longer."""
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], norm)
