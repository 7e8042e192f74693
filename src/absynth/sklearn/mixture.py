"""A mixture of Gaussians and categories, fitted to rows with missing entries: the reference of density models.

p_0(x) = Σ_k π_k N(x_numbers; μ_k, Σ_k) Π_blocks q_k(block): normalized, with exact draws, exact marginals of
whatever is observed and exact conditionals of the rest. A network tilts it: p(x) ∝ exp(f(x)) p_0(x).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from absynth.seeding import noise_like, uniform_like
from absynth.types import Rng

FLOOR = 1e-3  # pseudo-count of each value of a category, as a share of the rows


class Conditional(NamedTuple):
    """The law of the missing numbers of each row for each component, and the components' shares given what is known."""

    log_share: Float[Tensor, "n k"]
    mean: Float[Tensor, "n k m"]
    covariance: Float[Tensor, "n k m m"]
    """0 in rows and columns of observed numbers."""
    log_marginal: Float[Tensor, "n"]
    """log p_0 of the observed entries."""


class Mixture(nn.Module):
    """K components of a Gaussian and independent categories.

    Args:
        numbers: Numeric columns, which come first.
        sizes: Number of values of each categorical column.
        components: K.
    """

    log_weight: Tensor
    mean: Tensor
    covariance: Tensor
    log_category: Tensor

    def __init__(self, numbers: int, sizes: Sequence[int], components: int) -> None:
        super().__init__()
        self.numbers, self.sizes, self.components = numbers, tuple(sizes), components
        f64 = torch.float64
        self.register_buffer("log_weight", torch.full((components,), -math.log(components), dtype=f64))
        self.register_buffer("mean", torch.zeros(components, numbers, dtype=f64))
        self.register_buffer("covariance", torch.eye(numbers, dtype=f64).repeat(components, 1, 1))
        uniform = [-math.log(s) for s in self.sizes for _ in range(s)]
        self.register_buffer("log_category", torch.tensor(uniform, dtype=f64).repeat(components, 1))

    def log_prob(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        return self.components_log_prob(x).logsumexp(1)

    def components_log_prob(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """log π_k p_k(x)."""
        number, rest = x[:, : self.numbers], x[:, self.numbers :]
        out = self.log_weight + rest @ self.log_category.T
        if self.numbers:
            root = torch.linalg.cholesky(self.covariance)
            inverse = torch.linalg.solve_triangular(root, torch.eye(self.numbers).to(root), upper=False)
            z = torch.einsum("nd,kjd->nkj", number, inverse) - torch.einsum("kd,kjd->kj", self.mean, inverse)
            log_det = root.diagonal(dim1=1, dim2=2).log().sum(1)
            out = out - 0.5 * (z * z).sum(-1) - log_det - 0.5 * self.numbers * math.log(2 * math.pi)
        return out

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n d"]:
        like = self.log_weight.new_empty(n, 1)
        component = _choose(self.log_weight.expand(n, -1), uniform_like(like, rng)[:, 0])
        root = torch.linalg.cholesky(self.covariance)
        number = noise_like(self.mean.new_empty(n, self.numbers), rng)
        for k in range(self.components):  # a root for each draw would need n numbers² of memory
            of_k = component == k
            number[of_k] = self.mean[k] + number[of_k] @ root[k].T
        return torch.cat([number, self._categories(component, rng)], 1)

    def _categories(self, component: Tensor, rng: Rng) -> Tensor:
        blocks = []
        for log_p in self.log_category[component].split(list(self.sizes), 1):
            value = _choose(log_p, uniform_like(log_p[:, :1].contiguous(), rng)[:, 0])
            blocks.append(nn.functional.one_hot(value, log_p.shape[1]).to(log_p))
        return torch.cat(blocks, 1) if blocks else self.mean.new_empty(len(component), 0)

    # What is observed of a row ----------------------------------------------------------------------------------------

    def condition(self, x: Float[Tensor, "n d"], known: Bool[Tensor, "n d"]) -> Conditional:
        """The law of what is missing from each row.

        Args:
            x: Rows; what stands where ``known`` is False is not looked at.
            known: True where observed; equal within a categorical block.
        """
        m = self.numbers
        o = known[:, None, :m].to(x.dtype)
        x = torch.where(known, x, torch.zeros_like(x))
        # Missing rows and columns become those of the identity, so that one batch serves all patterns.
        outer = o[..., :, None] * o[..., None, :]
        root = torch.linalg.cholesky(self.covariance * outer + torch.diag_embed(1 - o))
        centred = (x[:, None, :m] - self.mean) * o
        cross = self.covariance * o[..., None, :] * (1 - o)[..., :, None]
        z = torch.linalg.solve_triangular(root, centred[..., None], upper=False)
        half = torch.linalg.solve_triangular(root, cross.transpose(-1, -2), upper=False)
        mean = x[:, None, :m] * o + (self.mean + (half.transpose(-1, -2) @ z)[..., 0]) * (1 - o)
        covariance = self.covariance * (1 - o)[..., :, None] * (1 - o)[..., None, :] - half.transpose(-1, -2) @ half
        log_det = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_joint = self.log_weight + x[:, m:] @ self.log_category.T - 0.5 * (z * z).sum((-1, -2)) - log_det
        log_joint = log_joint - 0.5 * o.sum(-1) * math.log(2 * math.pi)
        return Conditional(log_joint.log_softmax(1), mean, covariance, log_joint.logsumexp(1))

    def roots(self, given: Conditional, known: Bool[Tensor, "n d"]) -> Float[Tensor, "n k m m"]:
        """√ of each component's covariance, with ones where numbers are known so that it exists."""
        return _root(given.covariance, ~known[:, None, : self.numbers])

    def draw(
        self,
        given: Conditional,
        x: Float[Tensor, "n d"],
        known: Bool[Tensor, "n d"],
        *,
        roots: Float[Tensor, "n k m m"] | None = None,
        rng: Rng,
    ) -> Float[Tensor, "n d"]:
        """One exact draw of what is missing from each row, in place in x; ``roots`` serve many draws."""
        component = _choose(given.log_share, uniform_like(x[:, :1].contiguous(), rng)[:, 0])
        row = torch.arange(len(x), device=x.device)
        free = ~known[:, : self.numbers]
        root = _root(given.covariance[row, component], free) if roots is None else roots[row, component]
        noise = noise_like(x.new_empty(len(x), self.numbers), rng) * free
        number = given.mean[row, component] + torch.einsum("nij,nj->ni", root, noise)
        return torch.where(known, x, torch.cat([number, self._categories(component, rng)], 1))


def _root(covariance: Float[Tensor, "*n m m"], free: Bool[Tensor, "*#n m"]) -> Float[Tensor, "*n m m"]:
    return torch.linalg.cholesky(covariance + torch.diag_embed(torch.where(free, 1e-12, 1.0).to(covariance)))


def _choose(log_p: Float[Tensor, "n k"], u: Float[Tensor, "n"]) -> Tensor:
    """The index whose cumulated probability first exceeds u."""
    edges = log_p.softmax(1).cumsum(1)
    return torch.searchsorted(edges, u[:, None] * edges[:, -1:], right=True)[:, 0].clamp(max=log_p.shape[1] - 1)


# Fitting --------------------------------------------------------------------------------------------------------------


def fit_mixture(
    x: Float[Tensor, "n d"],
    weights: Float[Tensor, "n"],
    numbers: int,
    sizes: Sequence[int],
    components: int,
    *,
    start: Float[Tensor, "n k"],
    ridge: float = 1e-6,
    prior: bool = False,
    rounds: int = 100,
    tolerance: float = 1e-4,
) -> tuple[Mixture, float]:
    """Expectation maximization, with missing entries marginalized out.

    Args:
        x: Rows, NaN where missing.
        weights: How often each row counts.
        numbers: Numeric columns.
        sizes: Number of values of each categorical column.
        components: K.
        start: Shares of each component in each row to begin with.
        ridge: Added to the diagonal of each covariance.
        prior: Maximize with an inverse Wishart prior on covariances, of the columns' variances over K^(2/d) (Fraley and
            Raftery, Journal of Classification 2007): components of few rows stay wide.
        rounds: EM rounds at most.
        tolerance: Stop when the mean log likelihood rises by less.

    Returns:
        The mixture and its mean log likelihood a row, of what was observed.
    """
    model = Mixture(numbers, sizes, components)
    known = ~x.isnan()
    filled = torch.where(known, x, torch.zeros_like(x))
    complete = bool(known.all())
    total, before, value = weights.sum(), -math.inf, -math.inf
    wide = None
    if prior and numbers:
        w = weights[:, None] * known[:, :numbers]
        centre = (w * filled[:, :numbers]).sum(0) / w.sum(0)
        wide = (w * (filled[:, :numbers] - centre) ** 2).sum(0) / w.sum(0) / components ** (2 / numbers)
    mean = filled[:, None, :numbers].expand(-1, components, -1)
    if not complete:  # begin with observed means in place of missing entries
        w = weights[:, None] * known
        typical = (w * filled).sum(0) / w.sum(0).clamp(min=1e-12)
        mean = torch.where(known, filled, typical)[:, None, :numbers].expand(-1, components, -1)
    share, spread = start, None
    for _ in range(rounds):
        _maximize(model, filled, known, weights, share, mean, spread, ridge, wide)
        if complete:
            joint = model.components_log_prob(filled)
            share, value = joint.softmax(1), float((weights * joint.logsumexp(1)).sum() / total)
        else:
            parts = [model.condition(a, b) for a, b in zip(filled.split(4096), known.split(4096), strict=True)]
            share = torch.cat([p.log_share for p in parts]).exp()
            mean = torch.cat([p.mean for p in parts])
            each = torch.cat([p.log_marginal for p in parts])
            value = float((weights * each).sum() / total)
            rows = zip(share.split(4096), weights.split(4096), parts, strict=True)
            spread = sum(torch.einsum("nk,n,nkij->kij", s, w, p.covariance) for s, w, p in rows)
        if value - before < tolerance:
            break
        before = value
    return model, value


def _maximize(model: Mixture, x, known, weights, share, mean, spread, ridge: float, wide: Tensor | None) -> None:
    r = share * weights[:, None]
    count = r.sum(0) + 1e-10
    model.log_weight = (count / count.sum()).log()
    if model.numbers:
        centre = torch.einsum("nk,nkd->kd", r, mean) / count[:, None]
        covariance = torch.stack(
            [((mean[:, k] - centre[k]) * r[:, k : k + 1]).T @ (mean[:, k] - centre[k]) for k in range(model.components)]
        )
        if spread is not None:
            covariance = covariance + spread
        eye = torch.eye(model.numbers, dtype=x.dtype)
        count = count[:, None, None]
        if wide is not None:
            covariance, count = covariance + wide.diag(), count + 2 * (model.numbers + 2)
        model.mean, model.covariance = centre, covariance / count + ridge * eye
    if model.sizes:
        blocks = []
        at = model.numbers
        for size in model.sizes:
            observed = r * known[:, at : at + 1]
            p = observed.T @ x[:, at : at + size] + FLOOR * weights.sum() / size / model.components
            blocks.append((p / p.sum(1, keepdim=True)).log())
            at += size
        model.log_category = torch.cat(blocks, 1)


def parameters_of(numbers: int, sizes: Sequence[int], components: int) -> int:
    """Free parameters of a mixture, for the Bayesian information criterion."""
    each = numbers + numbers * (numbers + 1) // 2 + sum(s - 1 for s in sizes)
    return components * each + components - 1
