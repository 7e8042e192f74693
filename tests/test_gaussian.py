"""The fitted Gaussian: its law, its shrinkage, its coordinates, and mixtures of one per class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import covariance_is, mean_is
from sklearn.covariance import LedoitWolf
from torch.distributions import MultivariateNormal

from absynth.algorithms import ChainRecord
from absynth.errors import InputError
from absynth.gaussian import Gaussian, GaussianMixture, Whitened
from absynth.guard import curvature
from absynth.samplers import Langevin, altered
from absynth.seeding import noise_like, stream

F64 = torch.float64


def skewed(n: int = 400) -> torch.Tensor:
    """Rows of a Gaussian with strong correlations."""
    mix = torch.tensor([[2.0, 0.0, 0.0], [1.9, 0.3, 0.0], [-1.0, 0.2, 0.5]], dtype=F64)
    return noise_like(torch.empty(n, 3, dtype=F64), stream(1)) @ mix.T + torch.tensor([1.0, -2.0, 0.5], dtype=F64)


def test_fit_shrinks_as_ledoit_and_wolf_do():
    x = skewed()
    law, theirs = Gaussian.fit(x), LedoitWolf().fit(x.numpy())
    np.testing.assert_allclose((law.factor @ law.factor.T).numpy(), theirs.covariance_, rtol=1e-10)
    np.testing.assert_allclose(law.mean.numpy(), theirs.location_, rtol=1e-10)
    plain = Gaussian.fit(x, shrink=0.0)
    torch.testing.assert_close(plain.factor @ plain.factor.T, torch.cov(x.T, correction=0))


def test_log_prob_is_that_of_the_multivariate_normal_and_draws_have_the_law():
    law = Gaussian.fit(skewed())
    covariance = law.factor @ law.factor.T
    x = law.sample(20_000, stream(2))
    torch.testing.assert_close(law.log_prob(x), MultivariateNormal(law.mean, covariance).log_prob(x))
    mean_is(x, law.mean)
    covariance_is(x, covariance)
    with pytest.raises(AssertionError):  # negative control: without the factor's transpose
        covariance_is(law.mean + (x - law.mean) @ torch.linalg.inv(law.factor).T @ law.factor, covariance)


def test_images_keep_their_shape_and_the_law_travels_with_a_model():
    x = noise_like(torch.empty(50, 1, 4, 4), stream(3))
    law = Gaussian.fit(x)
    assert law.sample(3, stream(0)).shape == (3, 1, 4, 4)
    torch.testing.assert_close(law.color(law.whiten(x)), x, atol=1e-5, rtol=1e-5)
    other = Gaussian.standard(1, 4, 4)
    other.load_state_dict(law.state_dict())
    assert torch.equal(other.log_prob(x), law.log_prob(x))


def test_a_whitened_langevin_step_is_preconditioned_by_the_covariance():
    law = Gaussian.fit(skewed())
    x = skewed(7)
    sampler = Whitened(Langevin(1, 0.4), law)
    step = sampler(lambda x: -0.5 * (x**2).sum(1), x, rng=stream(4))
    noise = noise_like(x, stream(4))
    expected = x + 0.08 * -x @ (law.factor @ law.factor.T).T + 0.4 * noise @ law.factor.T
    torch.testing.assert_close(step, expected)
    assert altered(sampler, step_size=0.1) == Whitened(Langevin(1, 0.1), law)


def test_whitened_chains_stay_on_their_law_and_the_guard_measures_where_they_run():
    law = Gaussian.fit(skewed())
    x = law.sample(20_000, stream(5))
    end = Whitened(Langevin(20, 0.2), law)(law.log_prob, x, rng=stream(6))
    covariance_is(end, law.factor @ law.factor.T / (1 - 0.04 / 4))  # the bias is that of N(0, I)
    record = ChainRecord(Whitened(Langevin(1, 0.2), law), law.log_prob, x[:50], x[:50])
    assert float(curvature(record, 0.2, rng=stream(7)).median()) == pytest.approx(1.0, abs=1e-6)
    assert float(curvature(record._replace(sampler=Langevin(1, 0.2)), 0.2, rng=stream(7)).median()) > 3


def test_a_mixture_has_one_gaussian_per_class():
    x = torch.cat([skewed(300) + 9, -skewed(100)])
    y = torch.tensor([0] * 300 + [1] * 100)
    law = GaussianMixture.fit(x, y, 2)
    draws = law.sample(20_000, stream(8))
    mean_is((draws[:, 0] > 5).double(), 0.75)
    first = draws[draws[:, 0] > 5]
    assert (first.mean(0) - law.parts[0].mean).abs().max() < 0.1
    parts = torch.stack([part.log_prob(x) for part in law.parts]) + torch.tensor([[0.75], [0.25]]).log()
    torch.testing.assert_close(law.log_prob(x), parts.logsumexp(0))


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match="2 examples or more, got 1"):
        Gaussian.fit(torch.zeros(1, 3))
    with pytest.raises(InputError, match="singular"):
        Gaussian.fit(torch.ones(10, 3))
    with pytest.raises(InputError, match="class 1 has 1 labelled examples"):
        GaussianMixture.fit(skewed(5), torch.tensor([0, 0, 0, 0, 1]), 2)
