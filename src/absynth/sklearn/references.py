"""Reference densities for tables: a wide Gaussian, and a mixture of Gaussians that also knows its conditionals."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.seeding import noise_like
from absynth.types import Rng


class WideNormal(nn.Module):
    """N(0, diag scale²): keeps the density falling where no data are.

    Args:
        scale: Standard deviation of each column.
    """

    scale: Tensor

    def __init__(self, scale: Float[Tensor, "d"]) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        z = x / self.scale
        return -0.5 * (z * z).sum(-1) - self.scale.log().sum() - 0.5 * x.shape[-1] * math.log(2 * math.pi)

    def sample(self, n: int, rng: Rng) -> Tensor:
        return self.scale * noise_like(self.scale.expand(n, -1).contiguous(), rng)
