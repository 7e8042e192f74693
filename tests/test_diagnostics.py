"""Effective sample size and R-hat against ArviZ and closed forms; acceptance; energy profile."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from absynth.errors import InputError
from absynth.samplers.diagnostics import acceptance, effective_sample_size, energy_profile, rank_normalize, split_rhat


@pytest.fixture(scope="module")
def az():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("arviz")


def ar1(rng, chains, draws, rho):
    """Stationary AR(1) with unit variance."""
    noise = torch.randn(chains, draws, generator=rng, dtype=torch.float64)
    x = torch.empty_like(noise)
    x[:, 0] = noise[:, 0]
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + math.sqrt(1 - rho**2) * noise[:, t]
    return x


def examples(rng):
    drifting = ar1(rng, 3, 500, 0.5) + torch.linspace(0, 2, 500, dtype=torch.float64)
    stuck = torch.randn(4, 300, generator=rng, dtype=torch.float64)
    stuck[2] = 1.5
    apart = ar1(rng, 2, 400, 0.9)
    apart[1] += 5
    yield "independent", torch.randn(4, 1000, generator=rng, dtype=torch.float64)
    yield "slow", ar1(rng, 4, 1000, 0.97)
    yield "antithetic", ar1(rng, 4, 1000, -0.8)
    yield "odd length, one chain", ar1(rng, 1, 777, 0.3)
    yield "drifting", drifting
    yield "one chain stuck", stuck
    yield "apart", apart
    yield "heavy tails", torch.randn(4, 500, generator=rng, dtype=torch.float64).reciprocal()
    for draws in range(4, 16):  # where the rules for the last lags matter
        yield f"{draws} draws", ar1(rng, 2, draws, 0.6)
        yield f"{draws} draws, antithetic", ar1(rng, 2, draws, -0.6)


def test_equal_to_arviz(rng, az):
    for name, x in examples(rng):
        numpy = x.numpy()
        pairs = {"ess mean": (effective_sample_size(x), az.ess(numpy, method="mean"))}
        if len(x) > 1:  # ArviZ asks for two chains, though two halves of one will do
            pairs["rhat split"] = split_rhat(x), az.rhat(numpy, method="split")
        if x.shape[1] % 2 == 0 and len(x) > 1:  # ArviZ ranks after it has dropped the middle draw of an odd number
            pairs["ess bulk"] = effective_sample_size(rank_normalize(x)), az.ess(numpy, method="bulk")
            pairs["rhat z_scale"] = split_rhat(rank_normalize(x)), az.rhat(numpy, method="z_scale")
        for what, (ours, theirs) in pairs.items():
            assert ours.item() == pytest.approx(float(theirs), rel=1e-8), f"{what} of {name}"


def test_short_chains_equal_arviz(rng, az):
    """Random short chains reach every branch of the rules that cut the sum of autocorrelations."""
    for trial in range(300):
        x = ar1(rng, 1 + trial % 3, 8 + trial % 11, 0.6 * (-1) ** trial)
        expected = float(az.ess(x.numpy(), method="mean"))
        assert effective_sample_size(x).item() == pytest.approx(expected, rel=1e-8), f"trial {trial}, {tuple(x.shape)}"


def test_ties_share_their_rank(rng, az):
    x = torch.randint(5, (4, 100), generator=rng).double()
    assert effective_sample_size(rank_normalize(x)).item() == pytest.approx(
        float(az.ess(x.numpy(), method="bulk")), rel=1e-8
    )


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.9])
def test_closed_form_of_ar1(rng, rho):
    chains, draws = 8, 20_000
    expected = chains * draws * (1 - rho) / (1 + rho)
    assert effective_sample_size(ar1(rng, chains, draws, rho)).item() == pytest.approx(expected, rel=0.08)


def test_predicts_the_spread_of_means(rng):
    """What the figure is for: Var(mean) = var / ESS, over 400 independent repetitions of a chain."""
    x = ar1(rng, 400, 1000, 0.8)
    size = effective_sample_size(x).item() / 400
    ratio = x.mean(1).var().item() * size
    assert abs(ratio - 1) < 4.5 * math.sqrt(2 / 399)


def test_every_entry_of_an_event_is_judged_alone(rng):
    x = torch.stack([ar1(rng, 3, 200, r) for r in (0.0, 0.5, 0.9, -0.3, 0.7, 0.2)], -1).unflatten(-1, (2, 3))
    for figure in (effective_sample_size, split_rhat):
        got = figure(x)
        assert got.shape == (2, 3)
        for i, j in np.ndindex(2, 3):
            torch.testing.assert_close(got[i, j], figure(x[..., i, j]))
    torch.testing.assert_close(rank_normalize(x)[..., 1, 2], rank_normalize(x[..., 1, 2]))
    assert effective_sample_size(x.float()).dtype == torch.float32
    wide = torch.randn(2, 10, 300, generator=rng)  # more entries than are done at once
    torch.testing.assert_close(effective_sample_size(wide)[299], effective_sample_size(wide[..., 299]))


def test_chains_that_never_move_do_not_look_good():
    assert effective_sample_size(torch.ones(4, 100)).isnan()
    assert split_rhat(torch.ones(4, 100)).isnan()
    apart = torch.arange(4.0)[:, None].expand(4, 100)
    assert split_rhat(apart).isinf()
    assert effective_sample_size(apart) < 10
    assert effective_sample_size(torch.tensor([[0.0, 1.0, math.nan, 2.0, 1.0]])).isnan()


def test_rhat_sees_what_one_chain_cannot(rng):
    x = torch.randn(4, 1000, generator=rng)
    assert split_rhat(x) < 1.01
    x[3] += 1
    assert split_rhat(x) > 1.1
    drift = torch.randn(1, 1000, generator=rng) + torch.linspace(0, 3, 1000)
    assert split_rhat(drift) > 1.2


def test_too_few_draws():
    for figure in (effective_sample_size, split_rhat):
        with pytest.raises(InputError, match="at least 4 draws, got 3"):
            figure(torch.zeros(2, 3))
    with pytest.raises(InputError, match="at least 2 draws"):
        acceptance(torch.zeros(2, 1))


def test_acceptance_counts_moves_of_the_whole_state():
    x = torch.tensor([[[0.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    assert acceptance(x).tolist() == [0.5, 0.0]
    assert acceptance(torch.tensor([[1.0, 2.0, 2.0, 2.0, 3.0]])).tolist() == [0.5]


def test_energy_profile_keeps_order_and_no_graph(rng):
    weight = torch.ones(3, requires_grad=True)
    path = (torch.full((2, 3), float(t)) for t in (2, 1, 0))
    profile = energy_profile(lambda x: -(x * weight).sum(1), path)
    assert profile.tolist() == [[6.0, 6.0], [3.0, 3.0], [0.0, 0.0]]
    assert not profile.requires_grad
    with pytest.raises(InputError, match="empty path"):
        energy_profile(lambda x: x.sum(1), [])
