"""Precision, recall, density and coverage: what samples get wrong and what they miss, separately.

Kynkäänniemi, Karras, Laine, Lehtinen, Aila, "Improved Precision and Recall Metric for Assessing Generative Models",
NeurIPS 2019, arXiv:1904.06991; Naeem, Oh, Uh, Choi, Yoo, "Reliable Fidelity and Diversity Metrics for Generative
Models", ICML 2020, arXiv:2002.09797. Examples are compared in a feature space; the ball of an example has its k-th
nearest neighbour of the same set on its surface.

    precision: share of the samples in the ball of some real example
    recall:    share of the real examples in the ball of some sample
    density:   mean number of balls of real examples that a sample is in, over k
    coverage:  share of the real examples whose ball holds a sample
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError


@dataclass(frozen=True)
class Coverage:
    """Fidelity and diversity of samples.

    Attributes:
        precision: In [0, 1]. One outlier among the real examples can raise it.
        recall: In [0, 1]. One outlier among the samples can raise it.
        density: About 1 if the laws are equal; may exceed 1.
        coverage: In [0, 1]; for equal laws and sizes n it is 1 − Π (n − i) / (2n − i), i = 1 … k: near 1 − 2^−k.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def coverage(real: Float[Tensor, "n d"], samples: Float[Tensor, "m d"], k: int = 5) -> Coverage:
    """Compute precision, recall, density and coverage of samples.

    Args:
        real: Features of real examples.
        samples: Features of samples.
        k: Number of neighbours that sets the radius of a ball.

    Raises:
        InputError: Dimensions differ, or a set has k examples or fewer.

    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> coverage(x, x, k=1)
    Coverage(precision=1.0, recall=1.0, density=2.5, coverage=1.0)
    """
    real, samples = real.detach().double(), samples.detach().double()
    if real.shape[1] != samples.shape[1]:
        raise InputError(f"expected features of one dimension, got {real.shape[1]} and {samples.shape[1]}")
    if k < 1 or min(len(real), len(samples)) <= k:
        raise InputError(f"expected 1 <= k < the size of each set, got k={k}, {len(real)} and {len(samples)} examples")
    own, theirs = _radii(real, k), _radii(samples, k)
    in_real = torch.zeros(len(samples), dtype=torch.long, device=real.device)
    recalled, covered = [], []
    for rows, radius in zip(real.split(1024), own.split(1024)):
        distance = torch.cdist(rows, samples, compute_mode="donot_use_mm_for_euclid_dist")
        inside = distance <= radius[:, None]
        in_real += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((distance <= theirs[None, :]).any(1))
    return Coverage(
        precision=(in_real > 0).double().mean().item(),
        recall=torch.cat(recalled).double().mean().item(),
        density=in_real.double().mean().item() / k,
        coverage=torch.cat(covered).double().mean().item(),
    )


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row to its k-th nearest other row."""
    found = []
    for rows in x.split(1024):
        distance = torch.cdist(rows, x, compute_mode="donot_use_mm_for_euclid_dist")
        found.append(distance.kthvalue(k + 1, dim=1).values)  # the row itself is the nearest
    return torch.cat(found)
