"""``draw``: what it keeps, and that its one-line warning says what is wrong exactly where something is."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor

import absynth as ab
from absynth.errors import InputError
from absynth.samplers import (
    HMC,
    MALA,
    NUTS,
    ChainWarning,
    Draws,
    GibbsWithGradients,
    Langevin,
    Tempering,
    draw,
    summarize_chains,
)
from absynth.seeding import stream

F64 = torch.float64
SIGMA = torch.tensor([0.5, 2.0], dtype=F64)
START = torch.distributions.Independent(torch.distributions.Uniform(-2 * torch.ones(2), 2 * torch.ones(2)), 1)


def normal(x: Tensor) -> Tensor:
    return -0.5 * ((x / SIGMA.to(x)) ** 2).sum(1)


def modes(x: Tensor) -> Tensor:
    return torch.logaddexp(-8 * ((x - 1.5) ** 2).sum(1), -8 * ((x + 1.5) ** 2).sum(1))


def quiet(*arguments, **options) -> Draws:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChainWarning)
        return draw(*arguments, **options)


@pytest.mark.parametrize(
    "sampler",
    [
        None,
        HMC(1, 0.1),
        MALA(4, 0.1),
        pytest.param(Tempering(1, HMC(2, 0.3, leapfrog_steps=4), betas=(1.0, 0.3)), marks=pytest.mark.slow),
    ],
    ids=repr,
)
def test_good_draws_are_right_and_silent(sampler):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ChainWarning)
        drawn = draw(normal, START, sampler, draws=400, warmup=150, chains=16, rng=stream(1))
    assert drawn.x.shape == (16, 400, 2)
    assert drawn.warning == ""
    assert not drawn.stuck.any()
    assert drawn.rhat.max() < 1.01
    error = 5 * SIGMA / drawn.ess_bulk.sqrt()
    assert (drawn.mean.abs() < error).all()
    assert ((drawn.std / SIGMA - 1).abs() < 5 / drawn.ess_tail.sqrt()).all()
    if drawn.log_density is not None:
        torch.testing.assert_close(drawn.log_density, normal(drawn.x.flatten(0, 1)).view(16, 400))


def test_one_draw_is_as_many_steps_as_the_sampler_has():
    drawn = quiet(normal, START, HMC(3, 0.3, leapfrog_steps=5), draws=10, warmup=0, chains=4, rng=stream(1))
    assert (drawn.gradients == 10 * 3 * 5).all()
    assert (drawn.warm_gradients == 0).all()
    assert (drawn.step_size == 0.3).all()
    drawn = quiet(normal, START, HMC(3, 0.3, leapfrog_steps=5), draws=10, warmup=20, chains=4, rng=stream(1))
    assert (drawn.warm_gradients == 20 * 3 * 5).all()


def test_discrete_variables():
    x = torch.zeros(8, 3, dtype=F64)
    drawn = draw(lambda x: x @ torch.tensor([1.0, -1.0, 0.0], dtype=F64), x, GibbsWithGradients(2), rng=stream(1))
    assert drawn.warning == ""
    exact = torch.tensor([1.0, -1.0, 0.0], dtype=F64).sigmoid()
    assert ((drawn.mean - exact).abs() < 5 * (exact * (1 - exact) / drawn.ess_bulk).sqrt()).all()


# --- verdicts ------------------------------------------------------------------------------------------------------


def test_modes_that_are_not_crossed():
    with pytest.warns(ChainWarning, match="R-hat .* chains disagree.*cross modes with Tempering"):
        local = draw(modes, START, MALA(1, 0.3), draws=300, warmup=200, chains=8, rng=stream(1))
    assert (local.x.abs().mean((0, 1)) - 1.5).abs().max() < 0.1  # each mode looks right
    assert local.rhat.min() > 1.1


def test_chains_that_never_move():
    drawn = quiet(normal, START, MALA(1, 1e4), draws=50, warmup=0, chains=6, rng=stream(1))
    assert drawn.stuck.all()
    assert drawn.warning.startswith("6 of 6 chains never moved")


def test_divergences():
    cliff = lambda x: -0.5 * (x**2).sum(1) - 1e7 * torch.relu(x[:, 0] - 1)  # noqa: E731
    drawn = quiet(cliff, START, NUTS(1, 0.5, mass="unit"), draws=100, warmup=0, chains=8, rng=stream(2))
    n = int(drawn.divergences.sum())
    assert n > 0
    assert f"{n} divergent transitions in 800 draws" in drawn.warning
    assert "raise target_accept or reparametrize" in drawn.warning


def test_too_few_draws():
    drawn = quiet(normal, START, draws=20, warmup=60, chains=4, rng=stream(1))
    assert "effective sample size" in drawn.warning
    assert "run longer" in drawn.warning
    assert drawn.warning in repr(drawn)


def test_values_that_are_not_finite():
    drawn = quiet(normal, START, Langevin(1, 1e3), draws=300, warmup=0, chains=4, rng=stream(1))
    assert "not finite" in drawn.warning
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a summary says it in its own line, and nowhere else
        summary = summarize_chains(drawn.x.masked_fill(torch.tensor([True, False]), math.nan))
    assert summary.not_finite == 2


def test_a_warm_up_that_adapts_to_the_mean_over_chains_would_be_seen(monkeypatch):
    """Chains at the end of a narrow ridge: with one step for all, some never move, and the warning says so."""
    from absynth.samplers.dual_averaging import DualAveraging

    width = torch.logspace(-4, 0, 8, dtype=F64)[:, None]
    rows = lambda x: -0.5 * ((x / width) ** 2).sum(1)  # noqa: E731
    sampler, x = MALA(1, 0.3, mass="unit"), torch.ones(8, 2, dtype=F64)
    assert not quiet(rows, x, sampler, draws=100, warmup=200, rng=stream(1)).stuck.any()
    own = DualAveraging.update
    monkeypatch.setattr(DualAveraging, "update", lambda self, a, rows=None: own(self, a.mean().expand(len(a)), rows))
    drawn = quiet(rows, x, sampler, draws=100, warmup=200, rng=stream(1))
    assert drawn.stuck.any()
    assert "chains never moved" in drawn.warning


# --- starts, ArviZ, input ------------------------------------------------------------------------------------------


def test_starts_outside_the_support_are_drawn_again():
    edge = lambda x: (x.log() - x).sum(1)  # noqa: E731
    drawn = quiet(edge, START, draws=10, warmup=20, chains=32, rng=stream(1))
    assert (drawn.x > 0).all()
    with pytest.raises(InputError, match="start inside the support"):
        draw(edge, -torch.ones(3, 2, dtype=F64), rng=stream(1))


def test_same_rng_same_draws_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    a, b = (quiet(normal, START, draws=10, warmup=10, chains=3, rng=stream(5)) for _ in range(2))
    assert torch.equal(a.x, b.x)
    assert torch.equal(torch.get_rng_state(), before)


def test_to_arviz():
    arviz = pytest.importorskip("arviz")
    drawn = draw(normal, START, draws=200, warmup=100, chains=8, rng=stream(1))
    data = drawn.to_arviz("theta")
    assert data.posterior["theta"].shape == (8, 200, 2)
    assert (data.sample_stats["lp"].values == drawn.log_density.numpy()).all()
    ess = arviz.ess(data, method="bulk")["theta"].values
    assert torch.allclose(torch.tensor(ess), drawn.ess_bulk.double(), rtol=0.01)


def test_bad_input_is_one_line():
    for options, message in (
        ({"draws": 3}, "draws must be at least 4, got 3"),
        ({"warmup": -1}, "warmup must be at least 0"),
        ({"chains": 0}, "chains must be at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            draw(normal, START, rng=stream(1), **options)
    with pytest.raises(InputError, match="one row a chain"):
        draw(normal, torch.zeros(2, dtype=F64), rng=stream(1))
    with pytest.raises(InputError, match="leave chains out, or give 4"):
        draw(normal, torch.zeros(4, 2, dtype=F64), chains=5, rng=stream(1))
    with pytest.raises(InputError, match=r"return shape \[4\]"):
        draw(lambda x: -(x**2), torch.zeros(4, 2, dtype=F64), rng=stream(1))
    assert math.isfinite(float(quiet(normal, START, draws=4, warmup=0, chains=1, rng=stream(1)).x.sum()))
    assert ab.draw is draw
