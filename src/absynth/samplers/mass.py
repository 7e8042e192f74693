"""Mass matrices: the linear map under which a target has about the same width in every direction.

With x = L y, a sampler in y with unit mass is a sampler in x with mass matrix (L Lᵀ)⁻¹. Samplers here keep x itself and
use momenta p ~ N(0, I) of y: positions move by L p, forces are Lᵀ ∇log p(x).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError

Kind = Literal["auto", "unit", "diagonal", "dense"]
"""Which mass matrix a warm-up learns; "auto" is dense for events of up to ``DENSE`` entries and diagonal above."""

DENSE = 128
PASSES = 8
"""Times a dense matrix is learned anew under the one before: shrinkage disturbs the less, the rounder the target is."""


@dataclass(frozen=True)
class Mass:
    """x = L y, with L a diagonal ``[*event]``, a matrix ``[d, d]`` over the flattened event, or the identity.

    Args:
        scale: the diagonal of L, shaped like an event, or None.
        factor: L as a matrix, or None.
    """

    scale: Tensor | None = None
    factor: Tensor | None = None

    def push(self, p: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """L p, from momenta to velocities."""
        if self.factor is not None:
            return (p.flatten(1) @ self.factor.to(p).T).view_as(p)
        return p if self.scale is None else p * self.scale.to(p)

    def pull(self, score: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """Lᵀ s, from scores to forces."""
        if self.factor is not None:
            return (score.flatten(1) @ self.factor.to(score)).view_as(score)
        return score if self.scale is None else score * self.scale.to(score)


def resolve(kind: Kind, x: Tensor) -> Kind:
    """The mass matrix that "auto" means for chains like x.

    Raises:
        InputError: there is no mass matrix of that name.
    """
    if kind not in ("auto", "unit", "diagonal", "dense"):
        raise InputError(f"mass must be auto, unit, diagonal or dense, got {kind}")
    if kind != "auto":
        return kind
    return "dense" if math.prod(x.shape[1:]) <= DENSE else "diagonal"


def learn(kind: Kind, x: Float[Tensor, "draw b *event"], score: Float[Tensor, "draw b *event"]) -> Mass:
    """The mass matrix that minimizes the Fisher divergence of the transformed target from N(0, I).

    L Lᵀ is the geometric mean of cov(x) and cov(score)⁻¹. On a Gaussian both are the covariance, and the mean is exact
    whatever law the states have, so it is right long before the chains have converged. Covariances are about each
    chain's own mean, so chains that are still apart, or have targets of their own, do not disturb it; dense ones are
    shrunk towards the diagonal, more with fewer states.

    Args:
        kind: unit, diagonal or dense.
        x: states of b chains.
        score: ∇log p at these states.

    Reference: Seyboldt, Carlson and Carpenter 2026, Preconditioning HMC by minimizing Fisher divergence.
    """
    if kind == "unit":
        return Mass()
    event = x.shape[2:]
    _draws, chains = x.shape[:2]
    states, scores = (_centred(a) for a in (x, score))  # [n, d]
    n, d = states.shape
    tiny = torch.finfo(torch.float64).tiny
    widths = [a.square().mean(0) for a in (states, scores)]
    known = (widths[0] > tiny) & (widths[1] > tiny)
    scale = torch.where(known, (widths[0] / widths[1].clamp(min=tiny)) ** 0.25, 1.0)
    if not known.all():  # directions that never moved get the usual width
        usual = scale[known].log().mean().exp() if known.any() else 1.0
        scale = torch.where(known, scale, usual)
    if kind == "diagonal":
        return Mass(scale=scale.view(event).to(x.dtype))
    shrink = min(1.0, 0.2 * d / max(n - chains, 1))
    factor = torch.where(known, scale, 1.0).diag()
    for _ in range(PASSES):
        y, s = torch.linalg.solve_triangular(factor, states.T, upper=False).T, scores @ factor
        a, b = (_shrunk(m * known, shrink, known) for m in (y, s))
        covariance = factor @ _geometric_mean(a, b) @ factor.T
        better, failed = torch.linalg.cholesky_ex(0.5 * (covariance + covariance.T))
        if failed:  # a direction of the target is unbounded: widths too far apart for float64
            break
        factor = better
    usual = torch.where(known, 1.0, scale)
    return Mass(factor=(usual[:, None] * factor).to(x.dtype))


def _shrunk(rows: Tensor, shrink: float, known: Tensor) -> Tensor:
    """The second moments of rows, shrunk towards their diagonal; 1 where nothing is known."""
    moments = rows.T @ rows / len(rows)
    middle = moments.diagonal().clamp(min=torch.finfo(moments.dtype).tiny)
    return (1 - shrink) * moments + torch.where(known, shrink * middle, 1.0).diag()


def _centred(x: Tensor) -> Tensor:
    """``[draw, b, *event] -> [draw·b, d]`` in float64, about each chain's mean; what is not finite counts as the
    mean."""
    flat = x.detach().double().flatten(2)
    return (flat - flat.mean(0)).nan_to_num(0.0, 0.0, 0.0).flatten(0, 1)


def _geometric_mean(a: Tensor, b: Tensor) -> Tensor:
    """The symmetric S with S b S = a: a # b⁻¹."""
    values, vectors = torch.linalg.eigh(b)
    root = vectors * values.clamp(min=1e-300).sqrt() @ vectors.T
    inverse = vectors / values.clamp(min=1e-300).sqrt() @ vectors.T
    values, vectors = torch.linalg.eigh(root @ a @ root)
    return inverse @ (vectors * values.clamp(min=0).sqrt() @ vectors.T) @ inverse
