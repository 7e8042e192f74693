"""Reference measures p_0 that are fitted while a model learns."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.seeding import noise_like
from absynth.types import Rng


class FollowedNormal(nn.Module):
    """N(μ, Σ) whose mean and covariance follow examples: the reference of a prior that tilts the posterior's Gaussian.

    Everything is a buffer: :meth:`follow` changes it, no gradient does. :meth:`whiten` maps N(μ, Σ) to N(0, I).

    Args:
        shape: Shape of an event.
        memory: Number of examples that the moments remember, an exponential moving average; the first examples count
            as they come.
        floor: Smallest standard deviation in any direction, so that Σ is positive definite.
    """

    mean: Tensor
    second: Tensor
    factor: Tensor
    seen: Tensor

    def __init__(self, *shape: int, memory: float = 20_000, floor: float = 1e-3) -> None:
        super().__init__()
        if not (memory > 0 and floor > 0):
            raise InputError(f"expected a positive memory and a positive floor, got {memory:g} and {floor:g}")
        self.shape, self.memory, self.floor = shape, memory, floor
        d = math.prod(shape)
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("second", torch.eye(d))  # E[z zᵀ]
        self.register_buffer("factor", torch.eye(d))  # L of Σ = L Lᵀ
        self.register_buffer("seen", torch.zeros(()))

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.shape))}, memory={self.memory:g}, floor={self.floor:g}"

    def follow(self, z: Float[Tensor, "b *event"]) -> None:
        """Move the moments towards those of examples."""
        rows = z.detach().flatten(1).to(self.mean)
        share = len(rows) / min(float(self.seen) + len(rows), max(self.memory, len(rows)))
        self.seen += len(rows)
        self.mean.lerp_(rows.mean(0), share)
        self.second.lerp_(rows.T @ rows / len(rows), share)
        if float(self.seen) > 2 * len(self.mean):  # fewer examples do not determine a covariance
            cov = (self.second - self.mean[:, None] * self.mean).double()
            cov = cov + self.floor**2 * torch.eye(len(cov), dtype=cov.dtype, device=cov.device)
            self.factor.copy_(torch.linalg.cholesky(cov))

    def whiten(self, z: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """L⁻¹ (z − μ), differentiable in z."""
        rows = (z.flatten(1) - self.mean).T
        return torch.linalg.solve_triangular(self.factor, rows, upper=False).T.reshape(z.shape)

    def unwhiten(self, u: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """μ + L u."""
        return (self.mean + u.flatten(1) @ self.factor.T).reshape(u.shape)

    def log_prob(self, z: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        """Normalized log density."""
        u = self.whiten(z).flatten(1)
        constant = self.factor.diagonal().log().sum() + 0.5 * u.shape[1] * math.log(2 * math.pi)
        return -0.5 * u.square().sum(1) - constant

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n *event"]:
        """n draws."""
        like = torch.empty(n, *self.shape, dtype=self.mean.dtype, device=self.mean.device)
        return self.unwhiten(noise_like(like, rng))
