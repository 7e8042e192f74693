"""Energies of point clouds that do not depend on the order of the points.

After Xie, Xu, Zheng, Zhu, Wu: "Generative PointNet: Deep Energy-Based Learning on Unordered Point Sets", CVPR 2021,
arXiv:2004.01301: f(X) = head(mean_i h(x_i)) · n for the n points of X. The factor n makes f an energy of all points, so
that a chain moves a point as far whatever their number. Two things differ. h are waves of learned frequencies in place
of a perceptron, so their mean is the cloud's characteristic function at these frequencies: fine detail is seen from the
first update on. And the head sees each mean in standard deviations between training clouds, without which it is almost
linear in the mean, and such an f pulls every point alone. Their layer normalization over the points ties a network to
one order and one number of points, and takes away the scale of the cloud; there is none here.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.networks.mlp import Activation, activation, mlp

FREQUENCY = 2.0  # largest typical frequency of the waves, in half periods per unit


class PointF(nn.Module):
    """f of clouds ``[b, n, 3]``, any n.

    Args:
        width: Number of waves; the layers of the head have four times as many units.
        act: Activation of the head.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, act: Activation = "silu") -> None:
        super().__init__()
        # Lengths of the frequencies from 0 on: long waves see the pose of a cloud, short ones its legs and edges.
        self.waves = nn.Parameter(FREQUENCY * math.pi * torch.rand(1, width) * torch.randn(3, width))
        self.trunk = nn.Sequential(*mlp([2 * width, *[4 * width] * 3], act), activation(act))
        self.out = nn.Linear(4 * width, 1)
        self.register_buffer("mean", torch.zeros(2 * width))
        self.register_buffer("spread", torch.ones(2 * width))

    def pooled(self, x: Float[Tensor, "b n 3"]) -> Float[Tensor, "b d"]:
        """Means of the waves over the points of each cloud."""
        phase = x @ self.waves
        return torch.cat([phase.sin().mean(1), phase.cos().mean(1)], 1)

    @torch.no_grad()
    def standardize(self, x: Float[Tensor, "m n 3"]) -> None:
        """Take mean and standard deviation of the pooled waves from training clouds."""
        pooled = self.pooled(x)
        self.mean.copy_(pooled.mean(0))
        self.spread.copy_(pooled.std(0).clamp(min=1e-3))  # of clouds that are all alike too

    def features(self, x: Float[Tensor, "b n 3"]) -> Float[Tensor, "b d"]:
        """Last layer before f, of clouds of any number of points."""
        return self.trunk((self.pooled(x) - self.mean) / self.spread)

    def forward(self, x: Float[Tensor, "b n 3"]) -> Float[Tensor, "b"]:
        return self.out(self.features(x))[:, 0] * x.shape[1]
