"""Energies of point clouds that do not depend on the order of the points: the generative PointNet.

Xie, Xu, Zheng, Zhu, Wu: "Generative PointNet: Deep Energy-Based Learning on Unordered Point Sets", CVPR 2021,
arXiv:2004.01301. f(X) = head(mean_i h(x_i)) · n for the n points of X; the factor n makes f an energy of all points, so
that a chain moves a point as far whatever their number. Their layer normalization over the points ties a network to
one order and one number of points, and takes away the scale of the cloud; there is none here.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from absynth.networks.mlp import Activation, activation, mlp


class PointF(nn.Module):
    """f of clouds ``[b, n, 3]``, any n.

    Args:
        width: Units of the first layer of a point; the following have twice and four times as many.
        act: Activation.
    """

    def __init__(self, width: int, act: Activation = "silu") -> None:
        super().__init__()
        self.point = nn.Sequential(*mlp([3, width, 2 * width, 4 * width], act), activation(act))
        self.head = mlp([4 * width, 2 * width, 1], act)

    def forward(self, x: Float[Tensor, "b n 3"]) -> Float[Tensor, "b"]:
        return self.head(self.point(x).mean(1))[:, 0] * x.shape[1]
