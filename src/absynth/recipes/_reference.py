"""The reference p_0 of a model of the data: flat, a standard Gaussian, or the Gaussian of the data."""

from __future__ import annotations

from typing import Literal

from absynth.data.dataset import Dataset
from absynth.distributions import StandardNormal, Uniform
from absynth.gaussian import Gaussian
from absynth.seeding import noise_like, stream
from absynth.types import Reference

ReferenceName = Literal["flat", "standard", "gaussian"]


def fitted(data: Dataset, noise: float = 0.0) -> Gaussian:
    """N(m, Σ) of the training examples; a stand-in for the saved one where the data are not at hand.

    Args:
        data: The data set.
        noise: Standard deviation of noise that is added to the data in training.
    """
    x = data.all() if len(data) or data.kind == "toy" else None
    if x is None or len(x) < 2:
        return Gaussian.standard(*data.shape)
    return Gaussian.fit(x if not noise else x + noise * noise_like(x, stream(0)))


def reference_of(
    name: ReferenceName, data: Dataset, *, std: float = 1.0, low: float = -1.0, high: float = 1.0
) -> Reference:
    """The reference of that name.

    Args:
        name: "flat" on a box, "standard" for N(0, std² I), "gaussian" for mean and covariance of the training examples.
        data: The data set.
        std: Standard deviation of the standard Gaussian.
        low: Lower end of the box.
        high: Upper end of the box.
    """
    if name == "gaussian":
        return fitted(data)
    return StandardNormal(*data.shape, std=std) if name == "standard" else Uniform(*data.shape, low=low, high=high)
