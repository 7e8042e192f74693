"""Densities: scores against finite differences, and the four ways to make a density of others against exact laws."""

from __future__ import annotations

import pytest
import torch
from laws import covariance_is, mean_is, normal_law
from torch import Tensor, nn

from absynth.density import EBM, observe, product, restrict, score, value_and_score
from absynth.distributions import Normal, StandardNormal, Uniform, sum_event
from absynth.errors import InputError
from absynth.samplers import MALA
from absynth.seeding import noise_like, stream

F64 = torch.float64


class Net(nn.Module):
    """A wavy f of events of 2 x 3 numbers, with a condition if given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4, dtype=F64)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        y = torch.sin(2 * self.layer(x.flatten(1))).sum(1)
        return y if c is None else y * c


@pytest.fixture
def ebm():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return EBM(Net(), StandardNormal(2, 3, std=0.7).double())


def noise(*shape, seed=1):
    return noise_like(torch.empty(*shape, dtype=F64), stream(seed))


def finite_differences(log_density, x: Tensor, h: float = 1e-5) -> Tensor:
    columns = []
    for i in range(x[0].numel()):
        e = torch.zeros_like(x).flatten(1)
        e[:, i] = h
        e = e.view_as(x)
        columns.append((log_density(x + e) - log_density(x - e)) / (2 * h))
    return torch.stack(columns, 1).view_as(x).detach()


# --- score ---------------------------------------------------------------------------------------------------------


def test_score_is_the_derivative(ebm):
    x = noise(5, 2, 3)
    p = ebm().log_density
    expected = finite_differences(p, x)
    torch.testing.assert_close(score(p, x), expected, rtol=1e-7, atol=1e-7)
    value, gradient = value_and_score(p, x)
    torch.testing.assert_close(value, p(x).detach(), rtol=0, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-7)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(score(ebm().f, x), expected, rtol=1e-7, atol=1e-7)


def test_score_leaves_no_trace_and_needs_no_gradient_mode(ebm):
    p, x = ebm().log_density, noise(5, 2, 3).requires_grad_()
    plain = score(p, x)
    with torch.no_grad():
        silent = score(p, x)
    with torch.inference_mode():
        inference, of_inference = score(p, x), score(p, x * 1)
    for s in (plain, silent, inference, of_inference):
        assert torch.equal(s, plain)
        assert not s.requires_grad
    assert x.grad is None
    assert all(p.grad is None for p in ebm.parameters())
    value, _ = value_and_score(p, x)
    assert not value.requires_grad


# --- EBM -----------------------------------------------------------------------------------------------------------


def test_an_ebm_is_f_plus_its_reference(ebm):
    x, c = noise(5, 2, 3), noise(5, seed=2)
    torch.testing.assert_close(ebm().log_density(x), ebm.f(x) + Normal(torch.zeros_like(x), 0.7).log_prob(x))
    torch.testing.assert_close(ebm(c).log_density(x), ebm.f(x, c) + ebm.reference.log_prob(x))
    torch.testing.assert_close(ebm(c).energy(x), -ebm(c).log_density(x))
    torch.testing.assert_close(ebm(c).f(x), c * ebm().f(x))


@pytest.mark.parametrize(
    ("f", "got"), [(lambda x: x, "[5, 1]"), (lambda x: x.sum(), "[]"), (lambda x: x.expand(5, 2), "[5, 2]")]
)
def test_f_of_the_wrong_shape_is_refused_in_words(f, got):
    class Wrong(nn.Module):
        def forward(self, x):
            return f(x)

    with pytest.raises(InputError) as error:
        EBM(Wrong(), StandardNormal(1))().log_density(torch.zeros(5, 1))
    assert f"f must return shape [5], got {got}" in str(error.value)
    assert "\n" not in str(error.value)


class Doubled(nn.Linear):
    def forward(self, x):
        return super().forward(x)[:, 0]


def test_an_x_of_another_type_than_f_is_refused_in_one_line():
    p = EBM(Doubled(2, 1), StandardNormal(2))()
    assert p.f(torch.zeros(3, 2)).shape == (3,)
    with pytest.raises(InputError, match="got float64") as error:
        p.f(torch.zeros(3, 2, dtype=F64))
    assert "\n" not in str(error.value)


# --- observe -------------------------------------------------------------------------------------------------------

ROOT = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.4, 0.3, 0.9]], dtype=F64)
COVARIANCE, CENTRE = ROOT @ ROOT.T, torch.tensor([0.5, -1.0, 2.0], dtype=F64)
PRECISION = torch.linalg.inv(COVARIANCE)


def correlated(x: Tensor) -> Tensor:
    d = x - CENTRE
    return -0.5 * ((d @ PRECISION) * d).sum(1)


def chains(log_density, n: int = 20_000, steps: int = 60, step_size: float = 0.6) -> Tensor:
    return MALA(steps, step_size)(log_density, CENTRE + noise(n, 3), rng=stream(2))


def test_an_observation_gives_the_exact_conditional():
    """x ~ N(m, Σ), y = a·x + ε: the Gaussian conditional, by MALA."""
    a, y, var = torch.tensor([1.0, -1.0, 0.5], dtype=F64), 1.7, 1.0
    gain = COVARIANCE @ a / (a @ COVARIANCE @ a + var)
    mean, covariance = CENTRE + gain * (y - a @ CENTRE), COVARIANCE - torch.outer(gain, a @ COVARIANCE)
    posterior = observe(correlated, lambda x: -0.5 * (y - x @ a) ** 2 / var)
    z = noise(4, 3, seed=9)
    torch.testing.assert_close(posterior(z), correlated(z) - 0.5 * (y - z @ a) ** 2 / var, rtol=1e-12, atol=1e-12)
    x = chains(posterior)
    mean_is(x, mean)
    covariance_is(x, covariance)
    with pytest.raises(AssertionError, match="mean differs"):
        mean_is(chains(correlated), mean)
    with pytest.raises(AssertionError, match="covariance differs"):
        covariance_is(chains(observe(correlated, lambda x: -0.4 * (y - x @ a) ** 2 / var)), covariance)


# --- restrict ------------------------------------------------------------------------------------------------------

KNOWN = torch.tensor([True, False, False])
Y = torch.tensor([1.5, 99.0, 99.0], dtype=F64)  # entries that are not known must not matter


def test_known_entries_give_the_exact_conditional():
    unknown = ~KNOWN
    regression = COVARIANCE[unknown][:, KNOWN] / COVARIANCE[KNOWN][:, KNOWN]
    mean = CENTRE[unknown] + regression[:, 0] * (Y[KNOWN] - CENTRE[KNOWN])
    covariance = COVARIANCE[unknown][:, unknown] - regression @ COVARIANCE[KNOWN][:, unknown]
    p = restrict(correlated, KNOWN, Y)
    x = p.fill(chains(p))
    assert (x[:, 0] == 1.5).all()
    mean_is(x[:, 1:], mean)
    covariance_is(x[:, 1:], covariance)
    free = chains(correlated)  # without the restriction it is another law
    with pytest.raises(AssertionError, match="mean differs"):
        mean_is(free[:, 1:], mean)
    with pytest.raises(AssertionError, match="covariance differs"):
        covariance_is(free[:, 1:], covariance)


def test_each_row_may_have_its_own_known_entries():
    mask = torch.tensor([[True, False, False], [False, True, True]])
    y, x = noise(2, 3), noise(2, 3, seed=2)
    p = restrict(correlated, mask, y)
    filled = torch.stack([torch.cat([y[0, :1], x[0, 1:]]), torch.cat([x[1, :1], y[1, 1:]])])
    assert torch.equal(p.fill(x), filled)
    torch.testing.assert_close(p(x), correlated(filled), rtol=0, atol=0)
    gradient = score(p, x)
    assert (gradient[mask] == 0).all()
    torch.testing.assert_close(gradient[~mask], score(correlated, filled)[~mask], rtol=0, atol=0)


def test_restrictions_and_observations_made_in_inference_mode_are_welcome():
    with torch.inference_mode():
        mask, y, x = torch.tensor([True, False, False]), torch.ones(3, dtype=F64), torch.zeros(4, 3, dtype=F64)
        inside = score(restrict(correlated, mask, y), x)
    outside = score(
        restrict(correlated, torch.tensor([True, False, False]), torch.ones(3, dtype=F64)), torch.zeros(4, 3, dtype=F64)
    )
    assert torch.equal(inside, outside)


# --- product -------------------------------------------------------------------------------------------------------


def gaussian(mean: float, var: float):
    return lambda x: sum_event(-0.5 * (x - mean) ** 2 / var)


@pytest.mark.parametrize("weights", [None, (1.0, 1.0), (0.5, 2.0), (2.0, -0.25)], ids=str)
def test_a_product_of_gaussians_is_the_known_gaussian(weights):
    (m1, v1), (m2, v2) = (1.0, 0.5), (-1.0, 2.0)
    w1, w2 = weights or (1.0, 1.0)
    precision = w1 / v1 + w2 / v2
    mean, var = (w1 * m1 / v1 + w2 * m2 / v2) / precision, 1 / precision
    p = product([gaussian(m1, v1), gaussian(m2, v2)], weights)
    x = MALA(40, 1.2 * var**0.5)(p, noise(50_000, 1), rng=stream(3)).flatten()
    normal_law(x, mean, var)
    for wrong in (gaussian(m1, v1), product([gaussian(m1, v1), gaussian(m2, v2)], (w1, w2 / 2))):
        y = MALA(40, 1.2 * var**0.5)(wrong, noise(50_000, 1), rng=stream(3)).flatten()
        with pytest.raises(AssertionError, match=r"not N\("):
            normal_law(y, mean, var)


def test_a_product_asks_for_one_weight_a_density():
    with pytest.raises(InputError, match="expected 2, got 3"):
        product([correlated, correlated], [1.0, 1.0, 1.0])


def test_densities_compose():
    """An EBM, observed, restricted and multiplied is still a function [b, *event] -> [b]."""
    ebm = EBM(Net(), Uniform(2, 3).double())
    p = product([observe(ebm().log_density, gaussian(0.0, 1.0)), gaussian(1.0, 2.0)], [1.0, 0.5])
    p = restrict(p, torch.tensor([[True], [False]]), torch.zeros(2, 3, dtype=F64))
    x = noise(4, 2, 3)
    assert p(x).shape == (4,)
    torch.testing.assert_close(score(p, x), finite_differences(p, x), rtol=1e-7, atol=1e-7)
