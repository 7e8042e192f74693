"""Small networks side by side: one batched product a layer, so that three cost little more than one."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of ``members`` perceptrons d – width – width – outputs with SiLU between the layers.

    Weights are He normal, the last layer's a tenth of that, biases 0, from the global generator.

    Args:
        dim: d.
        width: Units of the two hidden layers.
        members: Number of networks.
        outputs: Numbers that a network returns; with 1 the last dimension is dropped.

    >>> Ensemble(4, 8, members=3)(torch.zeros(5, 4)).shape
    torch.Size([5])
    """

    def __init__(self, dim: int, width: int, members: int, outputs: int = 1) -> None:
        super().__init__()
        sizes = [dim, width, width, outputs]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            scale = math.sqrt(2 / n_in) * (0.1 if i == 2 else 1.0)
            self.weights.append(nn.Parameter(scale * torch.randn(members, n_in, n_out)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, n_out)))

    def each(self, x: Float[Tensor, "b d"]) -> Tensor:
        """What each member returns, ``[members, b]`` or ``[members, b, outputs]``."""
        h = x.expand(len(self.weights[0]), *x.shape)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(bias, nn.functional.silu(h) if i else h, weight)
        return h.squeeze(-1) if h.shape[-1] == 1 else h

    def forward(self, x: Float[Tensor, "b d"]) -> Tensor:
        return self.each(x).mean(0)
