"""Full-covariance Gaussians fitted to data: the reference that an energy must beat, and where its chains may start.

With p_0 = N(m, Σ) the exponential tilting p(x) = exp(f(x)) p_0(x) / Z leaves to f only what a Gaussian misses, and in
the coordinates y = L⁻¹ (x − m), Σ = L Lᵀ, p_0 is N(0, I), so chains take steps that fit every direction of the data.

The covariance is shrunk towards a multiple of I by the amount that minimizes the expected squared error (Ledoit and
Wolf, Journal of Multivariate Analysis 2004).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from absynth.errors import InputError, Unsupported
from absynth.samplers.wrapped import Wrapped
from absynth.seeding import empty_rows, noise_like, uniform_like
from absynth.types import LogDensity, Rng


class Gaussian(nn.Module):
    """The reference N(m, Σ) over events of a given shape. Mean and factor are buffers, so they travel with the model.

    Args:
        mean: m ``[*event]``.
        factor: L ``[d, d]``, lower triangular with a positive diagonal; Σ = L Lᵀ.

    >>> law = Gaussian(torch.zeros(2), torch.tensor([[2.0, 0.0], [1.0, 1.0]]))
    >>> law.log_prob(torch.tensor([[2.0, 1.0]]))
    tensor([-3.0310])
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, mean: Float[Tensor, "*event"], factor: Float[Tensor, "d d"]) -> None:
        super().__init__()
        if factor.shape != (mean.numel(), mean.numel()):
            raise InputError(f"expected a factor of {mean.numel()} rows and columns, got {list(factor.shape)}")
        self.register_buffer("mean", mean)
        self.register_buffer("factor", factor)

    @classmethod
    def fit(cls, x: Float[Tensor, "n *event"], *, shrink: float | None = None) -> Gaussian:
        """Fit mean and covariance to examples.

        Args:
            x: Examples; at least 2.
            shrink: Weight of the multiple of I, between 0 and 1. Defaults to that of Ledoit and Wolf.

        Raises:
            InputError: There are fewer than 2 examples, they never vary, or Σ is singular.
        """
        if len(x) < 2:
            raise InputError(f"a Gaussian is fitted to 2 examples or more, got {len(x)}: give more data")
        rows = x.detach().flatten(1).double().cpu()
        mean = rows.mean(0)
        if shrink is None:
            from sklearn.covariance import ledoit_wolf  # half a second that few commands need

            covariance = torch.from_numpy(ledoit_wolf((rows - mean).numpy(), assume_centered=True)[0])
        else:
            covariance = torch.cov(rows.T, correction=0).reshape(rows.shape[1], -1)
            covariance = (1 - shrink) * covariance + shrink * covariance.trace() / len(covariance) * torch.eye(
                len(covariance), dtype=torch.float64
            )
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed:
            raise InputError("the covariance of the examples is singular, some of them never vary: give --data-noise")
        return cls(mean.view(x.shape[1:]).to(x), factor.to(x))

    @classmethod
    def fit_incomplete(
        cls, x: Float[Tensor, "n *event"], mask: Float[Tensor, "n *event"], *, rounds: int = 15, ridge: float = 1e-3
    ) -> Gaussian:
        """Fit mean and covariance to examples with missing entries, by expectation maximization.

        Args:
            x: Examples; what stands where ``mask`` is 0 is not used.
            mask: 1 where x was observed. Every entry must be observed in some example.
            rounds: Number of rounds.
            ridge: Variance added to every entry.

        Raises:
            InputError: An entry is observed nowhere.
        """
        rows, seen = x.detach().flatten(1).double().cpu(), mask.flatten(1).bool().cpu()
        if not bool(seen.any(0).all()):
            raise InputError("an entry is missing from every example: leave it out of the data")
        mean = (rows * seen).sum(0) / seen.sum(0)
        covariance = torch.eye(rows.shape[1], dtype=torch.float64)
        for _ in range(rounds):
            # With K = Σ on the observed entries and I on the others, one batch of equal shapes serves all rows.
            both = (seen[:, :, None] & seen[:, None, :]).double()
            inner = both * covariance + torch.diag_embed((~seen).double() + ridge * seen)
            cross = covariance * (~seen)[:, :, None] * seen[:, None, :]  # Σ of missing with observed entries
            gain = torch.linalg.solve(inner, cross.mT).mT
            filled = torch.where(seen, rows, mean + torch.einsum("bij,bj->bi", gain, (rows - mean) * seen))
            free = (~seen[:, :, None] & ~seen[:, None, :]) * (covariance - gain @ cross.mT)
            mean = filled.mean(0)
            covariance = torch.cov(filled.T, correction=0) + free.mean(0)
        covariance += ridge * torch.eye(len(covariance), dtype=torch.float64)
        return cls(mean.view(x.shape[1:]).to(x), torch.linalg.cholesky(covariance).to(x))

    @classmethod
    def standard(cls, *shape: int) -> Gaussian:
        """N(0, I): a stand-in whose mean and factor a trained model's weights replace."""
        return cls(torch.zeros(shape), torch.eye(prod(shape)))

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.shape))}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one event."""
        return tuple(self.mean.shape)

    def whiten(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """y = L⁻¹ (x − m)."""
        rows = (x - self.mean).flatten(1)
        return torch.linalg.solve_triangular(self.factor, rows.T, upper=False).T.reshape(x.shape)

    def color(self, y: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """x = m + L y."""
        return self.mean + (y.flatten(1) @ self.factor.T).view(y.shape)

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        """Normalized log density."""
        y = self.whiten(x).flatten(1)
        return -0.5 * (y * y).sum(1) - self.log_det() - 0.5 * y.shape[1] * math.log(2 * math.pi)

    def log_det(self) -> Float[Tensor, ""]:
        """log det L, half of log det Σ."""
        return self.factor.diagonal().log().sum()

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n *event"]:
        """n exact draws."""
        return self.color(noise_like(empty_rows(n, *self.shape, like=self.mean), rng))


class GaussianMixture(nn.Module):
    """A mixture of full-covariance Gaussians: one for each class, weighted by the classes' shares.

    The successor of the joint energy model starts its chains there (JEM++, Yang and Ji, ICCV 2021).

    Args:
        parts: The Gaussians.
        weights: Their shares ``[k]``; they are scaled to sum to 1.
    """

    log_weights: Tensor

    def __init__(self, parts: Sequence[Gaussian], weights: Float[Tensor, "k"]) -> None:
        super().__init__()
        if len(parts) != len(weights) or not len(parts):
            raise InputError(f"expected one weight per Gaussian, got {len(weights)} for {len(parts)}")
        self.parts = nn.ModuleList(parts)
        self.register_buffer("log_weights", (weights / weights.sum()).log())

    @classmethod
    def fit(cls, x: Float[Tensor, "n *event"], y: Int64[Tensor, "n"], classes: int) -> GaussianMixture:
        """One Gaussian for the labelled examples of each class.

        Args:
            x: Examples.
            y: Their class; −1 for unlabelled ones, which are left out.
            classes: Number of classes.

        Raises:
            InputError: A class has fewer than 2 labelled examples.
        """
        counts = torch.stack([(y == k).sum() for k in range(classes)])
        few = (counts < 2).nonzero()[:, 0].tolist()
        if few:
            raise InputError(
                f"class {few[0]} has {int(counts[few[0]])} labelled examples, expected 2 or more: add some"
            )
        return cls([Gaussian.fit(x[y == k]) for k in range(classes)], counts.to(x))

    @classmethod
    def standard(cls, classes: int, *shape: int) -> GaussianMixture:
        """A stand-in of N(0, I) that a trained model's weights replace."""
        return cls([Gaussian.standard(*shape) for _ in range(classes)], torch.ones(classes))

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        """Normalized log density."""
        return (torch.stack([part.log_prob(x) for part in self.parts], 1) + self.log_weights).logsumexp(1)

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n *event"]:
        """n exact draws."""
        u = uniform_like(empty_rows(n, like=self.log_weights), rng)
        chosen = torch.searchsorted(self.log_weights.exp().cumsum(0), u).clamp(max=len(self.parts) - 1)
        mean, factor = (torch.stack([getattr(p, name) for p in self.parts]) for name in ("mean", "factor"))
        noise = noise_like(mean[chosen], rng)
        return mean[chosen] + torch.einsum("bij,bj->bi", factor[chosen], noise.flatten(1)).view(noise.shape)


class FactorGaussian(nn.Module):
    """N(m, Wᵀ W + σ² I) with few factors, for examples of more entries than a full covariance has room for.

    Chains may start there; given a part of an example they start at the conditional mean, m + Wᵀ E[z | part] with
    E[z | part] = (W_k W_kᵀ + σ² I)⁻¹ W_k (x − m)_k and k the known entries.

    Args:
        shape: Shape of an example.
        rank: Number of factors.
        std: σ. Where examples are few and have sharp edges, a σ above that of what the factors leave out is a ridge.
    """

    mean: Tensor
    factors: Tensor

    def __init__(self, *shape: int, rank: int, std: float) -> None:
        super().__init__()
        if rank < 1 or not std > 0:
            raise InputError(f"expected a rank of at least 1 and a positive std, got {rank} and {std:g}")
        self.std = std
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("factors", torch.zeros(rank, prod(shape)))

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.mean.shape))}, rank={len(self.factors)}, std={self.std:g}"

    def fit(self, x: Float[Tensor, "n *event"]) -> FactorGaussian:
        """Fit mean and factors to examples, in place; factors beyond what the examples hold stay 0."""
        flat = x.flatten(1)
        mean = flat.mean(0)
        _, scales, directions = torch.linalg.svd(flat - mean, full_matrices=False)
        q = min(len(self.factors), len(x) - 1, len(scales))
        self.mean.copy_(mean.view_as(self.mean))
        self.factors[:q] = directions[:q] * (scales[:q, None] / len(x) ** 0.5)
        return self

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n *event"]:
        """n draws of m + Wᵀ z, without the noise."""
        z = noise_like(empty_rows(n, len(self.factors), like=self.mean), rng)
        return self.mean + (z @ self.factors).view(n, *self.mean.shape)

    def given(self, project: Callable[[Tensor], Tensor], n: int, rng: Rng) -> Float[Tensor, "n *event"]:
        """The conditional mean of n examples given the entries that ``project`` sets; without any, draws.

        Args:
            project: Maps examples to the nearest ones that agree with the observation.
            n: Number of rows of the observation.
            rng: Source of randomness.
        """
        x, other = project(self.sample(n, rng)), project(self.sample(n, rng))
        holes, hole_of = (x == other).flatten(1).unique(dim=0, return_inverse=True)
        flat, z = (x - self.mean).flatten(1), x.new_zeros(n, len(self.factors))
        for i, known in enumerate(holes):
            if not known.any():
                return x
            rows, w = hole_of == i, self.factors[:, known]
            inner = w @ w.T + self.std**2 * torch.eye(len(w), dtype=w.dtype, device=w.device)
            z[rows] = torch.linalg.solve(inner, w @ flat[rows][:, known].T).T
        return project(self.mean + (z @ self.factors).view_as(x))

    def log_prob(self, x: Tensor) -> Tensor:
        """Not available.

        Raises:
            Unsupported: Always.
        """
        raise Unsupported("a Gaussian of few factors has no density that is computed here: use another --start")


@dataclass(frozen=True)
class Whitened(Wrapped):
    """A sampler that runs in the coordinates in which a Gaussian is N(0, I).

    What is exact stays exact: for Langevin x ← x + (δ²/2) Σ ∇log p(x) + δ L ε.

    Args:
        sampler: What runs there.
        gaussian: N(m, Σ).
    """

    gaussian: Gaussian

    def inner(self, log_density: LogDensity, x: Tensor) -> tuple[LogDensity, Tensor]:
        """The log density and the states in the coordinates in which the sampler runs."""
        return lambda y: log_density(self.gaussian.color(y)), self.gaussian.whiten(x.detach())

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        there, y = self.inner(log_density, x)
        return self.gaussian.color(self.sampler(there, y, rng=rng))
