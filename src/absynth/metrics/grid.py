"""Quadrature in one and two dimensions: where log Z is a sum, a model's law can be compared with the truth exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError
from absynth.types import LogDensity


@dataclass(frozen=True)
class Grid:
    """n cells a side over [low, high]^dim; densities are evaluated at cell centres (midpoint rule).

    For a smooth density that has died away at the edges the rule's error falls faster than any power of the cell
    width: a standard deviation of one cell gives eight digits. Mass outside the grid is not seen, so ask
    :meth:`outside_mass` where the true law is normalized.

    Args:
        low: lower edge, the same in each dimension.
        high: upper edge.
        n: cells a side.
        dim: 1 or 2.
        dtype: of the points, so that a float32 network can be evaluated; sums are in float64 whatever it is.
        device: of the points.

    Raises:
        InputError: dim is not 1 or 2, high is not above low, or n is not positive.

    >>> grid = Grid(-8, 8, 200, 1)
    >>> round(grid.log_integral(lambda x: -0.5 * x[:, 0] ** 2).item(), 6) == round(0.5 * math.log(2 * math.pi), 6)
    True
    """

    low: float | int
    high: float | int
    n: int
    dim: int
    dtype: torch.dtype = torch.float64
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        if self.dim not in (1, 2):
            raise InputError(f"dim must be 1 or 2, got {self.dim}: in more dimensions estimate log Z by sampling")
        if not (self.high > self.low and self.n > 0):
            raise InputError(f"a grid needs high > low and n > 0, got low={self.low}, high={self.high}, n={self.n}")

    @property
    def axis(self) -> Float[Tensor, "n"]:
        """Cell centres along one side."""
        step = (self.high - self.low) / self.n
        return (self.low + step * (torch.arange(self.n, dtype=torch.float64, device=self.device) + 0.5)).to(self.dtype)

    @property
    def points(self) -> Float[Tensor, "cells dim"]:
        """All cell centres, ``[n^dim, dim]``; the last coordinate varies fastest."""
        return torch.cartesian_prod(*[self.axis] * self.dim).reshape(-1, self.dim)

    @property
    def log_cell(self) -> float:
        """log of the volume of one cell."""
        return self.dim * math.log((self.high - self.low) / self.n)

    def log_integral(self, log_density: LogDensity) -> Float[Tensor, ""]:
        """log ∫ exp(log_density) over the grid: log Z. It keeps the autograd graph, so its gradient is exact too."""
        return log_density(self.points).double().logsumexp(0) + self.log_cell

    def log_prob(self, log_density: LogDensity) -> Float[Tensor, "cells"]:
        """The log density at each point, normalized so that it integrates to 1 over the grid."""
        values = log_density(self.points).double()
        return values - values.logsumexp(0) - self.log_cell

    def kl(self, log_p: LogDensity, log_q: LogDensity) -> float:
        """KL(p‖q) in nats, p the truth and q the model, both normalized on the grid (neither need be before)."""
        with torch.no_grad():
            p, q = self.log_prob(log_p), self.log_prob(log_q)
        weight = (p + self.log_cell).exp()
        return torch.where(weight > 0, weight * (p - q), 0.0).sum().item()  # 0 log 0 = 0

    def mass(self, log_density: LogDensity, region: Callable[[Tensor], Tensor]) -> float:
        """The probability of ``region(points) -> Bool[cells]``; cells on its border count by their centres."""
        with torch.no_grad():
            probability = (self.log_prob(log_density) + self.log_cell).exp()
            return probability[region(self.points)].sum().item()

    def outside_mass(self, log_prob: LogDensity) -> float:
        """1 − ∫ exp(log_prob) over the grid: what the grid misses of a law that is *normalized* on the whole space."""
        with torch.no_grad():
            return 1 - self.log_integral(log_prob).exp().item()
