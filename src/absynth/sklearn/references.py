"""The reference of a detector: heavy tails where data are, a steep fall where none ever were."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.errors import Unsupported
from absynth.types import Rng

FREEDOM = 4.0
EDGE = 4.0  # standard deviations beyond which log density falls as a parabola
STEEPNESS = 2.0


class HeavyTails(nn.Module):
    """Student's t in each column, times exp(−(|x| − 4)²) beyond four standard deviations; unnormalized.

    The t falls slowly, so that what a network learns decides within the range of the data; the parabola decides beyond,
    where a network extrapolates.

    Args:
        scale: Scale of the t of each column.
    """

    scale: Tensor

    def __init__(self, scale: Float[Tensor, "d"]) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        z = x / self.scale
        beyond = (x.abs() - EDGE).clamp(min=0)
        tails = 0.5 * (FREEDOM + 1) * torch.log1p(z * z / FREEDOM) + 0.5 * STEEPNESS * beyond * beyond
        return -tails.sum(-1)

    def sample(self, n: int, rng: Rng) -> Tensor:
        """Not available.

        Raises:
            Unsupported: Always: a detector's energy is of the bulk alone.
        """
        raise Unsupported("a detector scores rows and draws none: use EBMDensity to sample")
