"""Symmetric perturbations k(y|x) = k(x|y): what energy discrepancy compares the data with.

Noise for numbers, flips for binary entries, jumps for categories, and all of them together for the rows of a table.
Symmetry is what makes the comparison exact (see :mod:`absynth.algorithms.energy_discrepancy`); the discrete kernels are
the Bernoulli and the uniform one of Schröder, Ou, Li, Duncan, arXiv:2412.01019, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError
from absynth.seeding import noise_like, uniform_like
from absynth.types import Rng


@runtime_checkable
class Perturbation(Protocol):
    """A draw y ~ k(y|x) for each row of x, with k(y|x) = k(x|y)."""

    def __call__(self, x: Tensor, *, rng: Rng) -> Tensor: ...


@dataclass(frozen=True)
class GaussianNoise:
    """y = x + √variance · ε.

    Args:
        variance: t, of the order of the variance of the narrowest structure of the data, up to a few times that.
    """

    variance: float

    def __post_init__(self) -> None:
        if not self.variance > 0:
            raise InputError(f"expected a positive variance of the noise, got {self.variance:g}: try 0.1")

    def __call__(self, x: Float[Tensor, "b *event"], *, rng: Rng) -> Float[Tensor, "b *event"]:
        return torch.add(x, noise_like(x, rng), alpha=self.variance**0.5)


@dataclass(frozen=True)
class Flips:
    """Each entry of 0 or 1 becomes 1 − x with the given probability."""

    probability: float

    def __post_init__(self) -> None:
        _check_probability(self.probability)

    def __call__(self, x: Float[Tensor, "b *event"], *, rng: Rng) -> Float[Tensor, "b *event"]:
        return torch.where(uniform_like(x, rng) < self.probability, 1 - x, x)


@dataclass(frozen=True)
class Jumps:
    """Each categorical variable, a one-hot block, is drawn anew with the given probability, uniformly over its values.

    Args:
        sizes: Number of values of each variable; x has ``sum(sizes)`` columns.
        probability: Probability that a variable is drawn anew; it may then keep its value.
    """

    sizes: Sequence[int]
    probability: float

    def __post_init__(self) -> None:
        _check_probability(self.probability)
        if not self.sizes or min(self.sizes) < 1:
            raise InputError(f"expected the number of values of each variable, got sizes {list(self.sizes)}")

    def __call__(self, x: Float[Tensor, "b d"], *, rng: Rng) -> Float[Tensor, "b d"]:
        if x.shape[1] != sum(self.sizes):
            raise InputError(f"expected {sum(self.sizes)} columns for sizes {list(self.sizes)}, got {x.shape[1]}")
        u = uniform_like(x.new_empty(len(x), 2 * len(self.sizes)), rng)
        blocks = []
        for i, (block, size) in enumerate(zip(x.split(list(self.sizes), 1), self.sizes, strict=True)):
            value = (u[:, 2 * i + 1] * size).long().clamp(max=size - 1)
            anew = torch.nn.functional.one_hot(value, size).to(x.dtype)
            blocks.append(torch.where((u[:, 2 * i] < self.probability)[:, None], anew, block))
        return torch.cat(blocks, 1)


@dataclass(frozen=True)
class MixedColumns:
    """A table's rows: numbers first, each with noise, then one-hot blocks, each with jumps.

    Args:
        numbers: Number of numeric columns.
        sizes: Number of values of each categorical variable; may be empty.
        variance: t of the noise on the numbers.
        probability: Probability that a categorical variable is drawn anew.
    """

    numbers: int
    sizes: Sequence[int]
    variance: float
    probability: float

    def __call__(self, x: Float[Tensor, "b d"], *, rng: Rng) -> Float[Tensor, "b d"]:
        parts = []
        if self.numbers:
            parts.append(GaussianNoise(self.variance)(x[:, : self.numbers], rng=rng))
        if self.sizes:
            parts.append(Jumps(self.sizes, self.probability)(x[:, self.numbers :], rng=rng))
        return torch.cat(parts, 1)


def _check_probability(probability: float) -> None:
    if not 0 < probability <= 1:
        raise InputError(f"expected a probability in (0, 1] of a change, got {probability:g}")
