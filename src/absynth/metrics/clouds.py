"""Distances of point clouds, and how well one set of clouds covers another."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


def chamfer(a: Float[Tensor, "n p 3"], b: Float[Tensor, "n q 3"]) -> Float[Tensor, "n"]:
    """Chamfer distance of each pair: mean squared distance to the nearest point of the other, both ways.

    >>> chamfer(torch.zeros(1, 2, 3), torch.ones(1, 5, 3))
    tensor([6.])
    """
    squared = torch.cdist(a, b).square()
    return squared.amin(2).mean(1) + squared.amin(1).mean(1)


class Coverage(NamedTuple):
    """How samples stand to data (Achlioptas et al. 2018)."""

    distance: float
    """Mean over the data of the Chamfer distance to the nearest sample (MMD)."""
    coverage: float
    """Share of the data that are the nearest to some sample (COV)."""


def coverage(samples: Float[Tensor, "n p 3"], data: Float[Tensor, "m q 3"]) -> Coverage:
    """Chamfer MMD and coverage of data by samples, of equally many of each for figures that compare."""
    apart = torch.stack([chamfer(x.expand(len(data), *x.shape), data) for x in samples])
    return Coverage(float(apart.amin(0).mean()), len(apart.argmin(1).unique()) / len(data))
