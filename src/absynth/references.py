"""Reference measures p_0 that are fitted while a model learns."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.seeding import empty_rows, noise_like, uniform_like
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
    cov: Tensor
    factor: Tensor
    seen: Tensor

    def __init__(self, *shape: int, memory: float = 20_000, floor: float = 1e-3) -> None:
        super().__init__()
        if not (memory > 0 and floor > 0):
            raise InputError(f"expected a positive memory and a positive floor, got {memory:g} and {floor:g}")
        self.shape, self.memory, self.floor = shape, memory, floor
        d = math.prod(shape)
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("cov", torch.eye(d))
        self.register_buffer("factor", torch.eye(d))  # L of Σ = L Lᵀ
        self.register_buffer("seen", torch.zeros(()))

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.shape))}, memory={self.memory:g}, floor={self.floor:g}"

    def follow(self, z: Float[Tensor, "b *event"]) -> None:
        """Move the moments towards those of examples."""
        rows = z.detach().flatten(1).to(self.mean)
        share = len(rows) / min(float(self.seen) + len(rows), max(self.memory, len(rows)))
        self.seen += len(rows)
        mean = rows.mean(0)
        centred, shift = rows - mean, mean - self.mean
        # Second moments less the square of a mean that is large against the spread would cancel to nothing.
        between = share * (1 - share) * torch.outer(shift, shift)
        self.cov.lerp_(centred.T @ centred / len(rows), share).add_(between)
        self.mean.lerp_(mean, share)
        if float(self.seen) > 2 * len(self.mean):  # fewer examples do not determine a covariance
            eye = torch.eye(len(self.cov), dtype=torch.float64, device=self.cov.device)
            factor, failed = torch.linalg.cholesky_ex(self.cov.double() + self.floor**2 * eye)
            if not failed:  # z that is not finite is for the guard to see
                self.factor.copy_(factor)

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
        return self.unwhiten(noise_like(empty_rows(n, *self.shape, like=self.mean), rng))


class EMMixture(nn.Module):
    """A mixture of Gaussians with full covariances, fitted by expectation maximization: a reference with many modes.

    Before :meth:`fit` it is N(0, I). Everything is a buffer.

    Args:
        dim: Dimension d of z.
        components: Number of Gaussians.
        shrink: Pseudo-examples with which each covariance is drawn to the mean one; d by default.
    """

    log_weights: Tensor
    means: Tensor
    whiteners: Tensor
    """Inverse lower Cholesky factor of each covariance."""
    fitted: Tensor

    def __init__(self, dim: int, components: int, shrink: float | None = None) -> None:
        super().__init__()
        if components < 1 or dim < 1:
            raise InputError(f"expected 1 component or more of dimension 1 or more, got {components} and {dim}")
        self.shape = (dim,)
        self.components = components
        self.shrink = float(dim) if shrink is None else shrink
        self.register_buffer("log_weights", torch.full((components,), -math.log(components)))
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("whiteners", torch.eye(dim).repeat(components, 1, 1))
        self.register_buffer("fitted", torch.zeros(()))

    def extra_repr(self) -> str:
        return f"{self.shape[0]}, components={self.components}, shrink={self.shrink:g}"

    def log_joint(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """log of weight times density of each component."""
        k, d, _ = self.whiteners.shape
        offsets = (self.whiteners @ self.means[:, :, None]).reshape(-1)
        u = (z @ self.whiteners.reshape(k * d, d).T - offsets).view(-1, k, d)
        log_det = self.whiteners.diagonal(dim1=1, dim2=2).log().sum(1)
        return self.log_weights + log_det - 0.5 * u.square().sum(2) - 0.5 * d * math.log(2 * math.pi)

    def log_prob(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Normalized log density."""
        if not self.fitted:  # all components are N(0, I): one will do
            return -0.5 * z.square().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)
        return self.log_joint(z).logsumexp(1)

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n d"]:
        """n draws."""
        like = empty_rows(n, *self.shape, like=self.means)
        cumulative = self.log_weights.double().softmax(0).cumsum(0)
        u = uniform_like(torch.empty(n, dtype=torch.float64, device=like.device), rng)
        k = torch.searchsorted(cumulative, u).clamp(max=self.components - 1)
        noise = noise_like(like, rng)[:, :, None]
        return self.means[k] + torch.linalg.solve_triangular(self.whiteners[k], noise, upper=False)[:, :, 0]

    def fit(self, z: Float[Tensor, "n d"], *, rounds: int = 30, rng: Rng) -> None:
        """Fit the mixture to examples: means by ten rounds of k-means from random examples, then EM.

        Raises:
            InputError: There are fewer than two examples for each component.
        """
        if len(z) < 2 * self.components:
            raise InputError(f"expected {2 * self.components} examples or more to fit the mixture, got {len(z)}")
        z = z.detach().to(self.means)
        order = uniform_like(z.new_empty(len(z)), rng).argsort()
        means = z[order[: self.components]]
        for _ in range(10):
            hard = nn.functional.one_hot(torch.cdist(z, means).argmin(1), self.components).to(z)
            counts = hard.sum(0)[:, None]
            means = torch.where(counts > 0, hard.T @ z / counts.clamp(min=1), means)
        self._maximize(z, hard)
        for _ in range(rounds):
            self._maximize(z, torch.cat([self.log_joint(part).softmax(1) for part in z.split(2000)]))

    def _maximize(self, z: Tensor, share: Float[Tensor, "n k"]) -> None:
        """The M step: weights, means and covariances, these shrunk towards their mean over components."""
        counts = share.sum(0)
        means = (share.T @ z) / counts.clamp(min=1e-6)[:, None]
        scatter = torch.stack([((z - m) * s[:, None]).T @ (z - m) for s, m in zip(share.T, means)])
        within = scatter.sum(0) / len(z) + 1e-6 * torch.eye(z.shape[1]).to(z)
        cov = (scatter + self.shrink * within) / (counts + self.shrink)[:, None, None]
        factor = torch.linalg.cholesky(cov.double())
        eye = torch.eye(z.shape[1], dtype=factor.dtype, device=z.device).expand_as(factor)
        self.whiteners.copy_(torch.linalg.solve_triangular(factor, eye, upper=False))
        self.log_weights.copy_(((counts + 1e-6) / (counts + 1e-6).sum()).log())
        self.means.copy_(means)
        self.fitted.fill_(1)
