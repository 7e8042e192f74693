"""Two-sample figures in the space of the samples themselves: kernel discrepancy, and modes found."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError


def mmd(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d_b"], bandwidths: Sequence[float] = (0.2, 0.5, 1.0, 2.0)
) -> float:
    """The **squared** maximum mean discrepancy, in its biased form (Gretton et al. 2012, eq. 5).

    mean k(a, a) + mean k(b, b) − 2 mean k(a, b), with k(x, y) the mean over bandwidths σ of exp(−|x − y|²/(2σ²)). It
    lies between 0 and 2 and is 0 where the two sets are equal; under equal laws its expectation is not 0 but
    (1/n + 1/m)(1 − E k), so compare figures of equal n and m.

    Args:
        a: one set.
        b: the other.
        bandwidths: the σ, in the units of the data.

    Raises:
        InputError: dimensions differ, a set is empty, or a bandwidth is not positive.

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> mmd(x, x)
    0.0
    """
    if a.shape[1] != b.shape[1]:
        raise InputError(f"both sets must have the same dimension, got {a.shape[1]} and {b.shape[1]}")
    if not (len(a) and len(b)):
        raise InputError(f"both sets must have examples, got {len(a)} and {len(b)}")
    if not bandwidths or min(bandwidths) <= 0:
        raise InputError(f"bandwidths must be positive, got {list(bandwidths)}")
    a, b = a.detach().double(), b.detach().double()
    squared = _mean_kernel(a, a, bandwidths) + _mean_kernel(b, b, bandwidths) - 2 * _mean_kernel(a, b, bandwidths)
    return max(squared, 0.0)  # below zero by rounding only


def modes_hit(x: Float[Tensor, "n d"], centres: Float[Tensor, "k d"], share: float = 0.02) -> int:
    """How many of the k centres are the nearest one for at least ``share`` of the samples.

    It counts where samples go, not how well each mode is shaped; take ``share`` well below 1/k.

    >>> modes_hit(torch.tensor([[0.1], [0.2], [4.9]]), torch.tensor([[0.0], [5.0], [9.0]]))
    2
    """
    if not len(x):
        raise InputError("modes are counted among samples, got none")
    nearest = torch.cdist(x, centres).argmin(1)
    return int((nearest.bincount(minlength=len(centres)) >= share * len(x)).sum())


def _mean_kernel(a: Tensor, b: Tensor, bandwidths: Sequence[float]) -> float:
    total = 0.0
    for rows in a.split(1024):  # a slice at a time: the whole matrix of 50,000 samples would take 20 GB
        # Differences, not |a|² + |b|² − 2ab: that form loses the digits that tell near points apart.
        squared = torch.cdist(rows, b, compute_mode="donot_use_mm_for_euclid_dist").square()
        total += sum((squared * (-0.5 / s**2)).exp().sum().item() for s in bandwidths)
    return total / (len(a) * len(b) * len(bandwidths))
