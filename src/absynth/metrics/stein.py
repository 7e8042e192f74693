"""Kernel Stein discrepancy: how far samples are from an unnormalized density, from its score alone.

Liu, Lee, Jordan, "A Kernelized Stein Discrepancy for Goodness-of-fit Tests", ICML 2016, arXiv:1602.03253; the kernel is
the inverse multiquadric of Gorham and Mackey, "Measuring Sample Quality with Kernels", ICML 2017, arXiv:1703.01717,
with which the discrepancy goes to 0 only if the law of the samples goes to the density.

    k(x, y) = (b² + ‖x − y‖²)^(−1/2),  s = ∇ log p
    u(x, y) = s(x)ᵀs(y) k + s(x)ᵀ∇_y k + s(y)ᵀ∇_x k + tr ∇_x∇_y k                                   (1)
    KSD²    = mean of u over pairs i ≠ j, an unbiased estimate of 0 if the samples are from p         (2)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.density import score
from absynth.errors import InputError
from absynth.seeding import stream
from absynth.types import LogDensity


@dataclass(frozen=True)
class SteinDiscrepancy:
    """A kernel Stein discrepancy and its test.

    Attributes:
        squared: KSD², unbiased, so that it may be below 0.
        p_value: Share of bootstrap replicates under the hypothesis "the samples are from p" that are at least as large.
        bandwidth: b of the kernel.
    """

    squared: float
    p_value: float
    bandwidth: float


def stein_kernel(x: Float[Tensor, "n d"], s: Float[Tensor, "n d"], bandwidth: float) -> Float[Tensor, "n n"]:
    """u(x_i, x_j) of (1) for all pairs.

    Args:
        x: Samples.
        s: Score at each of them.
        bandwidth: b.
    """
    d = x.shape[1]
    r2 = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
    q = bandwidth**2 + r2
    k, first = q**-0.5, q**-1.5
    # ∇_x k = −(x − y) q^(−3/2) = −∇_y k, so s(x)·∇_y k + s(y)·∇_x k = (s(x) − s(y))·(x − y) q^(−3/2).
    sx, own = s @ x.T, (s * x).sum(1)
    cross = own[:, None] + own[None, :] - sx - sx.T
    return (s @ s.T) * k + cross * first + d * first - 3 * r2 * q**-2.5


def stein_discrepancy(
    x: Float[Tensor, "n *event"],
    log_density: LogDensity,
    *,
    bandwidth: float | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> SteinDiscrepancy:
    """Compute the kernel Stein discrepancy of independent samples from a density, with a bootstrap test.

    Args:
        x: Samples, independent of each other.
        log_density: ``[n, *event] -> [n]``, up to a constant.
        bandwidth: b. Defaults to the median distance between samples.
        replicates: Number of bootstrap replicates; 0 gives a p value of NaN.
        seed: Seed of the bootstrap.

    Returns:
        KSD², its p value and the bandwidth.

    Raises:
        InputError: There are fewer than two samples, or the bandwidth is not positive.

    Reference: Liu, Lee and Jordan, ICML 2016, Algorithm 1.
    """
    if len(x) < 2:
        raise InputError(f"expected two samples or more, got {len(x)}")
    rows, s = x.detach().flatten(1).double(), score(log_density, x).flatten(1).double()
    if bandwidth is None:
        bandwidth = float(torch.pdist(rows[:2000]).median()) or 1.0
    if not bandwidth > 0:
        raise InputError(f"expected a positive bandwidth, got {bandwidth:g}")
    n, u = len(rows), stein_kernel(rows, s, bandwidth)
    u.fill_diagonal_(0)
    squared = float(u.sum()) / (n * (n - 1))
    if not replicates:
        return SteinDiscrepancy(squared, float("nan"), bandwidth)
    # Weights of the bootstrap: multinomial counts / n − 1/n.
    draws = torch.randint(n, (replicates, n), generator=stream(seed))
    w = torch.zeros(replicates, n, dtype=torch.float64).scatter_add_(1, draws, torch.ones(replicates, n).double()) / n
    w = (w - 1 / n).to(u)
    bootstrap = ((w @ u) * w).sum(1) * n / (n - 1)
    p = (1 + int((bootstrap >= squared).sum())) / (1 + replicates)
    return SteinDiscrepancy(squared, p, bandwidth)
