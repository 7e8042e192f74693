"""The statistical assertions themselves: they pass the right law, they see wrong ones, and they keep their budget."""

from __future__ import annotations

import math

import laws
import pytest
import torch
from laws import covariance_is, draws_to_see, mean_is, normal_law, same_law, uniform_ranks
from scipy import stats


def normal(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def rejections(check, draws):
    count = 0
    for x in draws:
        try:
            check(x)
        except AssertionError:
            count += 1
    return count


def test_right_laws_pass(rng):
    same_law(torch.rand(5000, generator=rng, dtype=torch.float64), stats.uniform.cdf)
    normal_law(3 + 2 * normal(rng, 50_000), 3.0, 4.0)
    mean_is(normal(rng, 2000, 3, 4) + torch.arange(4.0), torch.arange(4.0).expand(3, 4))
    mean_is(torch.full((10, 2), 0.1), 0.1 * torch.ones(2))
    root = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.3, 0.0], [5.0, 1.0, 0.1]], dtype=torch.float64)
    covariance_is(normal(rng, 5000, 3) @ root.T + 7, root @ root.T)
    uniform_ranks(torch.randint(20, (1000,), generator=rng), 20)


@pytest.mark.parametrize(
    ("shift", "scale"), [(0.0, 1.035), (0.0, 0.965), (0.03, 1.0)], ids=["std 3.5 % large", "std 3.5 % small", "mean"]
)
def test_normal_law_sees_wrong_moments(rng, shift, scale):
    with pytest.raises(AssertionError, match=r"not N\(0, 1\)"):
        normal_law(shift + scale * normal(rng, 50_000), 0.0, 1.0)


def test_normal_law_sees_noise_two_percent_too_large_with_the_stated_power(rng):
    seen = rejections(lambda x: normal_law(x, 0.0, 1.0), (1.02 * normal(rng, 50_000) for _ in range(40)))
    assert seen >= 33, (
        f"a standard deviation 2 % too large was seen {seen} times in 40, expected 38"
    )  # p = 0.002 at 0.95


def test_normal_law_sees_a_variance_two_percent_too_large_with_enough_draws(rng):
    n = draws_to_see(0.02)
    assert 200_000 < n < 300_000
    seen = rejections(lambda x: normal_law(x, 0.0, 1.0), (math.sqrt(1.02) * normal(rng, n) for _ in range(10)))
    assert seen >= 9


def test_normal_law_sees_a_wrong_shape_of_right_moments(rng):
    uniform = (torch.rand(5000, generator=rng, dtype=torch.float64) - 0.5) * math.sqrt(12)
    with pytest.raises(AssertionError, match="Kolmogorov"):
        normal_law(uniform, 0.0, 1.0)


def test_same_law_sees_skew(rng):
    skewed = (normal(rng, 4000).square() + normal(rng, 4000).square()) / 2  # exponential
    same_law(skewed, stats.expon.cdf)
    with pytest.raises(AssertionError, match="law differs"):
        same_law(skewed, stats.gamma(1.3, scale=1 / 1.3).cdf)


def test_mean_is_sees_one_entry_of_many(rng):
    x = normal(rng, 4000, 100)
    x[:, 37] += 0.12
    with pytest.raises(AssertionError, match="entry 37 of 100"):
        mean_is(x, 0.0)
    with pytest.raises(AssertionError, match="entry 1 of 2"):  # no spread at all, and wrong
        mean_is(torch.tensor([[0.0, 1.0]] * 5), 0.0)


def test_covariance_is_sees_a_small_direction(rng):
    target = torch.tensor([[1.0, 0.999], [0.999, 1.0]], dtype=torch.float64)
    values, vectors = torch.linalg.eigh(target)
    x = normal(rng, 5000, 2) @ (vectors * values.sqrt()).T
    covariance_is(x, target)
    wide = normal(rng, 5000, 2) @ (vectors * (values * torch.tensor([1.2, 1.0])).sqrt()).T
    with pytest.raises(AssertionError, match="covariance differs"):  # entries are within 1e-4 of the target's
        covariance_is(wide, target)
    with pytest.raises(AssertionError, match="covariance differs"):
        covariance_is(normal(rng, 5000, 2) @ torch.tensor([[1.0, 0.1], [0.0, 1.0]], dtype=torch.float64), torch.eye(2))


def test_uniform_ranks_sees_overconfidence(rng):
    # Posterior N(x/2, 1/2) for a standard normal prior and unit noise: draws from it are calibrated, narrower are not.
    theta = normal(rng, 2000, 1)
    mean = (theta + normal(rng, 2000, 1)) / 2
    right = ((mean + math.sqrt(0.5) * normal(rng, 2000, 19)) < theta).sum(1)
    narrow = ((mean + 0.8 * math.sqrt(0.5) * normal(rng, 2000, 19)) < theta).sum(1)
    uniform_ranks(right, 20)
    with pytest.raises(AssertionError, match="not uniform"):
        uniform_ranks(narrow, 20)


def test_misuse_fails_instead_of_passing():
    with pytest.raises(AssertionError, match="finite"):
        mean_is(torch.tensor([0.0, math.nan, 1.0]), 0.0)
    with pytest.raises(AssertionError, match="dimensions"):
        normal_law(torch.zeros(4, 2), 0.0, 1.0)
    with pytest.raises(AssertionError, match="0 to 9"):
        uniform_ranks(torch.arange(11).repeat(10), 10)
    with pytest.raises(AssertionError, match="a bin"):
        uniform_ranks(torch.arange(10), 10)


def test_budget_is_kept(rng, monkeypatch):
    """With a budget of 0.1, right laws fail at a rate of at most 0.1, and not much below it where one test is made."""
    monkeypatch.setattr(laws, "BUDGET", 0.1)
    checks = {
        "same_law": lambda: same_law(normal(rng, 200), stats.norm.cdf),
        "normal_law": lambda: normal_law(normal(rng, 200), 0.0, 1.0),
        "mean_is": lambda: mean_is(normal(rng, 30, 5), 0.0),
        "covariance_is": lambda: covariance_is(normal(rng, 30, 3), torch.eye(3)),
        "uniform_ranks": lambda: uniform_ranks(torch.randint(5, (200,), generator=rng), 5),
    }
    for name, check in checks.items():
        failed = rejections(lambda _, check=check: check(), range(300))
        low, high = stats.binom.ppf([1e-5, 1 - 1e-5], 300, [0.05, 0.1])
        assert low <= failed <= high, f"{name} failed {failed} times in 300 at a budget of 0.1"
