"""The two-dimensional targets: densities against quadrature, samples against densities."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from absynth.data import toy
from absynth.seeding import Streams

TARGETS = [
    toy.EightGaussians(),
    toy.EightGaussians(radius=2.0, std=0.2),
    toy.FourModes(),
    toy.Rings(),
    toy.Rings(radii=(1.0,), std=0.3),
]
N = 20_000


def grid(half: float = 4.5, step: float = 0.04) -> tuple[Tensor, float]:
    axis = torch.arange(-half, half + step / 2, step, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), step**2


def deviation(target, x: Tensor) -> float:
    """The largest z-score of sample means against quadrature under ``target``; an entropy, moments and angles see
    scale, place and turning."""
    points, area = grid()
    weights = target.log_prob(points).exp() * area

    def features(x: Tensor) -> Tensor:
        angle = torch.atan2(x[:, 1], x[:, 0])
        parts = [
            target.log_prob(x),
            *x.T,
            *(x**2).T,
            x.prod(1),
            x.norm(dim=1),
            *((k * angle).cos() for k in (4, 8)),
            (8 * angle).sin(),
        ]
        return torch.stack(parts, 1)

    expected = (weights[:, None] * features(points)).sum(0)
    drawn = features(x.double())
    return float(((drawn.mean(0) - expected) / (drawn.std(0) / len(x) ** 0.5)).abs().max())


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_log_prob_integrates_to_one(target):
    points, area = grid()
    assert abs(target.log_prob(points).exp().sum() * area - 1) < 1e-8


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_samples_follow_log_prob(target, rng):
    limit = 5.2  # ten features, each above it once in 5 million
    x = target.sample(N, rng)
    assert deviation(target, x) < limit
    # Negative controls: a little more noise, a little larger, turned by 3 degrees, one side lost.
    assert deviation(target, x + 0.4 * target.std * torch.randn(x.shape, generator=rng)) > limit
    assert deviation(target, 1.04 * x) > limit
    assert deviation(target, x[x[:, 0] < x[:, 0].quantile(0.94)]) > limit
    if not isinstance(target, toy.Rings):
        turn = torch.tensor([[math.cos(0.05), -math.sin(0.05)], [math.sin(0.05), math.cos(0.05)]])
        assert deviation(target, x @ turn) > limit


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_scores_are_finite_and_types_follow(target):
    x = torch.tensor([[0.0, 0.0], [30.0, -40.0], [1.0, 0.0]], requires_grad=True)
    value = target.log_prob(x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert value.dtype == torch.float32
    assert gradient.isfinite().all()
    near = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(target.log_prob, near)


def test_four_modes_is_as_far_from_normal_as_published():
    points, area = grid()
    log_p = toy.FourModes().log_prob(points)
    log_normal = -0.5 * points.square().sum(1) - math.log(2 * math.pi)
    assert abs((log_p.exp() * (log_p - log_normal)).sum() * area - 1.2945) < 1e-4


def test_a_row_has_its_own_stream():
    few, many = (toy.Rings().sample(n, Streams(3, range(n))) for n in (4, 9))
    assert torch.equal(few, many[:4])


def test_moons_lie_on_their_arcs(rng):
    x = toy.Moons(std=0.05).sample(N, rng).double()
    assert x.mean(0).abs().max() < 0.04  # standard errors are 0.006 and 0.004
    upper = (x + torch.tensor([0.5, 0.25])).norm(dim=1) - 1
    lower = (-x + torch.tensor([0.5, 0.25])).norm(dim=1) - 1
    off = torch.where(upper.abs() < lower.abs(), upper, lower)
    assert off.abs().max() < 0.3
    assert 0.04 < off.std() < 0.055
    assert abs(float((upper.abs() < lower.abs()).double().mean()) - 0.5) < 0.03


def test_linear_observation(rng):
    A = toy.latent_toy(rng)
    assert A.shape == (10, 2)
    z = toy.FourModes().sample(N, rng)
    x = toy.LinearObservation(A, 0.3)(z).sample(rng)
    # Cov x = A Cov(z) Aᵀ + 0.09 I with Cov z = (1.3² / 2 + 0.25²) I, and entries' standard errors are about 1 % of it.
    expected = (1.3**2 / 2 + 0.25**2) * A @ A.T + 0.09 * torch.eye(10)
    scale = expected.diag().sqrt()
    assert ((x.T.cov() - expected) / (scale[:, None] * scale)).abs().max() < 0.06
    residual = x - z @ A.T
    assert abs(residual.std() / 0.3 - 1) < 5 / (2 * residual.numel()) ** 0.5
