"""Exact statistical assertions, with one failure budget.

A correct program fails each call below with probability ``BUDGET`` at most, so a suite of a thousand calls fails by
chance once in a hundred changes of seed; seeds are fixed, so in practice never. Where a call makes several tests it
shares the budget among them (Bonferroni). Every test uses the exact law of its statistic unless its docstring says
otherwise. Samples must be independent: one state a chain, not a chain's history.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from torch import Tensor

BUDGET = 1e-5
"""The probability that an assertion fails although the law is right."""


def same_law(x: Tensor, cdf: Callable[[np.ndarray], np.ndarray]) -> None:
    """The 1-D samples x have the continuous distribution function ``cdf`` (Kolmogorov–Smirnov).

    It sees a shift of the distribution function by about 2.5/sqrt(n); for small errors of moments use
    :func:`normal_law` or :func:`mean_is`, which are sharper.
    """
    values = _finite(x, 1)
    distance, p = stats.kstest(values, cdf)
    assert p > BUDGET, f"law differs: Kolmogorov–Smirnov distance {distance:.4g} of {len(values)} samples, p = {p:.2g}"


def normal_law(x: Tensor, mean: float, var: float) -> None:
    """The 1-D samples x are N(mean, var): z of the mean, chi-square of the variance, Kolmogorov–Smirnov of the shape.

    With 50,000 samples a standard deviation 2 % off (variance 4 %) is seen 19 times in 20. A variance 2 % off is 3.2
    standard errors there, less than the budget's 4.7: no test within the budget sees it reliably. :func:`draws_to_see`
    tells how many samples do.
    """
    values = _finite(x, 1)
    n, s2 = len(values), values.var(ddof=1)
    z = (values.mean() - mean) / math.sqrt(var / n)
    p = {
        "mean": 2 * stats.norm.sf(abs(z)),
        "variance": _two_sided(stats.chi2(n - 1), (n - 1) * s2 / var),
        "shape": stats.kstest(values, stats.norm(mean, math.sqrt(var)).cdf).pvalue,
    }
    assert min(p.values()) > BUDGET / 3, (
        f"not N({mean:g}, {var:g}): mean {values.mean():.5g} (z = {z:+.1f}, p = {p['mean']:.2g}), variance {s2:.5g} "
        f"(ratio {s2 / var:.4f}, p = {p['variance']:.2g}), Kolmogorov–Smirnov p = {p['shape']:.2g}, n = {n}"
    )


def draws_to_see(variance_excess: float, power: float = 0.99) -> int:
    """How many samples let :func:`normal_law` see a variance that is too large by this share, with this probability."""
    z = stats.norm.isf(BUDGET / 6) + (1 + variance_excess) * stats.norm.ppf(power)
    return math.ceil(2 * (z / variance_excess) ** 2)


def mean_is(x: Tensor, expected: Tensor | float) -> None:
    """Every entry of the rows of x [n, ...] has the expected mean (largest |t| over entries, Bonferroni).

    Exact for normal entries; for others it leans on the central limit theorem, so give it n in the thousands and no
    heavy tails. An entry that never varies must equal its expectation to 12 digits.
    """
    values = _finite(x)
    n = len(values)
    values = values.reshape(n, -1)
    wanted = torch.as_tensor(expected, dtype=torch.float64).expand(x.shape[1:]).reshape(-1).numpy()
    error = values.mean(0) - wanted
    standard = values.std(0, ddof=1) / math.sqrt(n)
    rounding = 1e-12 * (np.abs(wanted) + np.abs(values).max(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(np.abs(error) <= rounding, 0.0, error / standard)
    worst = int(np.abs(t).argmax())
    p = min(1.0, 2 * stats.t.sf(abs(t[worst]), n - 1) * len(t))
    assert p > BUDGET, (
        f"mean differs at entry {worst} of {len(t)}: expected {wanted[worst]:.6g}, got {values[:, worst].mean():.6g} "
        f"± {standard[worst]:.2g} (t = {t[worst]:+.1f}, p = {p:.2g}, n = {n})"
    )


def covariance_is(x: Tensor, expected: Tensor) -> None:
    """The rows of x [n, d] are Gaussian with the expected covariance [d, d]; the mean is free.

    Rows are whitened by the expectation; then each variance is chi-square and each correlation has Student's law,
    exactly, and whatever direction is wrong shows. For other laws use :func:`mean_is` of centred products.
    """
    values, target = _finite(x, 2), expected.detach().double().cpu().numpy()
    n, d = values.shape
    assert target.shape == (d, d), f"expected covariance must have shape {[d, d]}, got {list(target.shape)}"
    white = np.linalg.solve(np.linalg.cholesky(target), (values - values.mean(0)).T)
    s = white @ white.T / (n - 1)
    p = np.ones((d, d))
    for i in range(d):
        p[i, i] = _two_sided(stats.chi2(n - 1), (n - 1) * s[i, i])
        for j in range(i):
            r = s[i, j] / math.sqrt(s[i, i] * s[j, j])
            p[i, j] = 2 * stats.t.sf(abs(r) * math.sqrt((n - 2) / max(1 - r * r, 1e-300)), n - 2)
    tests = d * (d + 1) // 2
    assert p.min() > BUDGET / tests, (
        f"covariance differs: eigenvalues of expected⁻¹ got lie in {np.linalg.eigvalsh(s)[[0, -1]].round(4).tolist()}, "
        f"p = {min(1.0, p.min() * tests):.2g}, n = {n}; expected {target.round(4).tolist()}, "
        f"got {np.cov(values.T).round(4).tolist()}"
    )


def uniform_ranks(ranks: Tensor, n_bins: int) -> None:
    """Ranks in 0 ... n_bins − 1 are uniform, each value a bin (chi-square): simulation-based calibration.

    For L posterior draws a case ranks take L + 1 values; merge them before (``ranks // k``, with k dividing L + 1)
    where that leaves fewer than 10 a bin. Chi-square is the limit law; at 10 a bin and more it is near enough.
    """
    values = ranks.detach().cpu().numpy()
    assert values.ndim == 1, f"ranks must be one-dimensional, got shape {list(values.shape)}"
    assert np.all((values >= 0) & (values < n_bins)), (
        f"ranks must lie in 0 to {n_bins - 1}, got {values.min()} to {values.max()}"
    )
    assert len(values) >= 10 * n_bins, f"expected 10 ranks a bin or more, got {len(values)} for {n_bins} bins"
    counts = np.bincount(values.astype(int), minlength=n_bins)
    statistic, p = stats.chisquare(counts)
    assert p > BUDGET, (
        f"ranks are not uniform: chi-square {statistic:.1f} on {n_bins - 1}, p = {p:.2g}, counts {counts.tolist()}"
    )


def _two_sided(law, value: float) -> float:
    return min(1.0, 2 * min(law.cdf(value), law.sf(value)))


def _finite(x: Tensor, dims: int | None = None) -> np.ndarray:
    assert dims is None or x.ndim == dims, f"samples must have {dims} dimensions, got shape {list(x.shape)}"
    assert len(x) > 2, f"samples must be at least 3, got {len(x)}"
    assert x.isfinite().all(), f"samples must be finite, got {(~x.isfinite()).sum().item()} that are not"
    return x.detach().double().cpu().numpy()
