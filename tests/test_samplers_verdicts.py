"""``draw`` on targets of many kinds: moments that are right, or a warning that says where they may not be."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from absynth.samplers import ChainWarning, Draws, draw
from absynth.seeding import stream

F64 = torch.float64


def drawn_from(log_density, dim: int, dtype: torch.dtype = F64, chains: int = 16, draws: int = 100) -> Draws:
    start = 4 * torch.rand(chains, dim, generator=stream(3), dtype=dtype) - 2
    start = torch.where(log_density(start).isfinite()[:, None], start, start.abs())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChainWarning)
        return draw(log_density, start, draws=draws, warmup=60, rng=stream(1))


def logistic(w: Tensor) -> Tensor:
    """Logistic regression of ten points on one number, prior N(0, 2²); w = (intercept, slope)."""
    x = torch.linspace(-2, 2.5, 10, dtype=w.dtype)
    y = torch.tensor([0, 0, 1, 0, 0, 1, 0, 1, 1, 1], dtype=w.dtype)
    eta = w[:, :1] + w[:, 1:] * x
    return (y * eta - softplus(eta)).sum(1) - (w**2).sum(1) / 8


def banana(x: Tensor) -> Tensor:
    return -0.5 * x[:, 0] ** 2 - 0.5 * (x[:, 1] - 0.5 * x[:, 0] ** 2) ** 2


def moments_by_quadrature(log_density, low: float, high: float, n: int = 401) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of a density in the plane."""
    axis = torch.linspace(low, high, n, dtype=F64)
    points = torch.cartesian_prod(axis, axis)
    weight = log_density(points).softmax(0)[:, None]
    mean = (weight * points).sum(0)
    return mean, (weight * (points - mean) ** 2).sum(0).sqrt()


GOOD = {
    "logistic regression": (logistic, 2, *moments_by_quadrature(logistic, -8, 8)),
    "banana": (banana, 2, torch.tensor([0.0, 0.5]), torch.tensor([1.0, 1.5**0.5])),
    "Student's t of 5 degrees": (lambda x: -3 * torch.log1p(x**2 / 5).sum(1), 2, 0.0, (5 / 3) ** 0.5),
    "Beta(2, 5) by its logit": (
        lambda q: (2 * logsigmoid(q) + 5 * logsigmoid(-q)).sum(1), 2,
        -13 / 12,  # ψ(2) − ψ(5)
        (math.pi**2 / 3 - 1 - (1 + 1 / 4 + 1 / 9 + 1 / 16)) ** 0.5,  # ψ'(2) + ψ'(5)
    ),
    "scales from 0.01 to 100": (
        lambda x: -0.5 * (x / torch.logspace(-2, 2, 5, dtype=x.dtype)).square().sum(1), 5,
        0.0, torch.logspace(-2, 2, 5),
    ),
    "Gamma(3), no number outside": (lambda x: (2 * x.log() - x).sum(1), 2, 3.0, 3**0.5),
    "two modes that chains cross": (
        lambda x: torch.logaddexp(-0.5 * ((x - 1) ** 2).sum(1), -0.5 * ((x + 1) ** 2).sum(1)), 2, 0.0, 2**0.5
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_means_and_deviations_are_right(name):
    dtype = torch.float32 if name in ("logistic regression", "scales from 0.01 to 100") else F64
    log_density, dim, mean, std = GOOD[name]
    drawn = drawn_from(log_density, dim, dtype)
    assert drawn.x.dtype == dtype
    mean, std = (torch.as_tensor(v, dtype=dtype).expand(dim) for v in (mean, std))
    assert ((drawn.mean - mean).abs() < 5 * std / drawn.ess_bulk.sqrt()).all()
    assert (drawn.std / std - 1).abs().max() < 0.2
    assert not drawn.stuck.any()
    assert drawn.ess_bulk.min() > 100


def funnel(x: Tensor) -> Tensor:
    """Neal's: x_0 ~ N(0, 3²), x_i ~ N(0, e^{x_0})."""
    return -(x[:, 0] ** 2) / 18 - 0.5 * (x[:, 1:] ** 2 * (-x[:, :1]).exp() + x[:, :1]).sum(1)


WARNED = {
    "funnel": (funnel, 3, "divergent transitions|chains disagree"),
    "narrow banana": (
        lambda x: -0.5 * x[:, 0] ** 2 - 50 * (x[:, 1] - x[:, 0] ** 2) ** 2, 2, "divergent transitions|chains disagree"
    ),
    "two modes that chains do not cross": (
        lambda x: torch.logaddexp(-0.5 * ((x - 5) ** 2).sum(1), -0.5 * ((x + 5) ** 2).sum(1)), 2, "chains disagree"
    ),
    "an edge": (lambda x: torch.where((x > 0).all(1), -0.5 * (x**2).sum(1), -math.inf), 2, "divergent transitions"),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNED)
def test_a_warning_says_where_draws_may_be_wrong(name):
    log_density, dim, said = WARNED[name]
    drawn = drawn_from(log_density, dim, draws=30, chains=8)
    assert any(part in drawn.warning for part in said.split("|")), drawn.warning


def test_a_density_that_is_no_number_outside_is_never_entered():
    drawn = drawn_from(lambda x: (x.log() - x).sum(1), 1, draws=30, chains=8)
    assert (drawn.x > 0).all()
    assert drawn.log_density is not None
    assert drawn.log_density.isfinite().all()
