"""What makes an example unlikely: what each entry adds to its energy, and where the gradient is large."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.density import score
from absynth.types import LogDensity

PATH = 24  # points of the path that contributions are integrated over


def contributions(
    log_density: LogDensity, x: Float[Tensor, "n *event"], typical: Float[Tensor, "*event"]
) -> Float[Tensor, "n *event"]:
    """Integrated gradients of the energy from a typical example to each x (Sundararajan et al., ICML 2017).

    The contributions of an example add up to its energy minus that of the typical one.

    Args:
        log_density: The model's.
        x: Examples.
        typical: Where the path begins, for example the mean of the training data.
    """
    start = typical.to(x)
    total = torch.zeros_like(x)
    for k in range(PATH):
        total -= score(log_density, start + (k + 0.5) / PATH * (x - start))
    return (x - start) * total / PATH


def gradient_maps(log_density: LogDensity, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 h w"]:
    """|∇ log p| at each pixel over its largest value in the image, −1 to 1 as images are shown."""
    size = score(log_density, x).square().sum(1, keepdim=True).sqrt()
    return 2 * size / size.amax((1, 2, 3), keepdim=True).clamp(min=1e-12) - 1
