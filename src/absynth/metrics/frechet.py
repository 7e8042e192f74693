"""The Fréchet distance between two sets of features.

The 2-Wasserstein distance, squared, between the Gaussians that have the sets' means and covariances (Dowson and Landau
1982, eq. 4; used on Inception features as the FID by Heusel et al. 2017, eq. 6):

    d² = |m_a − m_b|² + tr S_a + tr S_b − 2 tr (S_a^{1/2} S_b S_a^{1/2})^{1/2}.

The figure means nothing without its feature space and the number of examples: report it with ``Features.name`` and n.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError


def frechet(a: Float[Tensor, "n d"], b: Float[Tensor, "m d_b"]) -> float:
    """The squared Fréchet distance d² between two sets of features, in squared units of the features.

    Covariances divide by n − 1, as the published figures do. d² is biased upwards by an amount of order 1/n + 1/m, so
    compare figures of equal n and m only. Where n or m is at most d that set's covariance is singular: the figure still
    exists and is finite, but the bias is then of the order of the figure itself.

    Args:
        a: one set of features.
        b: another one, in the same space. The order of a and b, and the order of rows, do not matter.

    Raises:
        InputError: fewer than two examples in a set, different dimensions, or entries that are not finite.

    >>> a = torch.tensor([[0.0], [2.0]])
    >>> round(frechet(a, a + 3.0), 6)
    9.0
    """
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"both sets of features must have the same dimension, got {a.shape[1]} and {b.shape[1]}: "
            "compute both with the same Features"
        )
    return frechet_from_moments(*moments(a), *moments(b))


def moments(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "d"], Float[Tensor, "d d"]]:
    """Mean and covariance (division by n − 1) in float64: all that :func:`frechet_from_moments` needs to know of a set.

    Raises:
        InputError: fewer than two examples, or entries that are not finite.
    """
    if len(x) < 2:
        raise InputError(f"a covariance needs at least 2 examples, got {len(x)}: give more samples")
    if not x.isfinite().all():
        raise InputError("features must be finite, got NaN or infinity: check the samples for divergence")
    x = x.double()
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.T @ centred / (len(x) - 1)


def frechet_from_moments(
    mean_a: Float[Tensor, "d"],
    cov_a: Float[Tensor, "d d"],
    mean_b: Float[Tensor, "d"],
    cov_b: Float[Tensor, "d d"],
) -> float:
    """The squared Fréchet distance between N(mean_a, cov_a) and N(mean_b, cov_b), computed in float64.

    The covariances must be symmetric and positive semidefinite; they may be singular. Eigenvalues and a distance that
    rounding has made slightly negative count as zero.

    >>> one = torch.eye(2)
    >>> round(frechet_from_moments(torch.zeros(2), one, torch.zeros(2), 4 * one), 6)
    2.0
    """
    mean_a, cov_a, mean_b, cov_b = (t.double() for t in (mean_a, cov_a, mean_b, cov_b))
    # tr (S_a^{1/2} S_b S_a^{1/2})^{1/2} is the sum of the singular values of S_a^{1/2} S_b^{1/2}. Taken so, no small
    # eigenvalue is squared and rooted again: with singular covariances rounding stays near 1e-15 instead of 1e-8.
    cross = torch.linalg.svdvals(_root(cov_a) @ _root(cov_b)).sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return max(distance.item(), 0.0)


def _root(cov: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(cov)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
