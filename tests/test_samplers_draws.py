"""``draw``: what it keeps, and that its one-line warning says what is wrong exactly where something is."""

from __future__ import annotations

import inspect
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
    Preconditioned,
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
    assert "raise target_accept or reparametrize, a bounded variable by its log or logit" in drawn.warning


def test_figures_of_a_chain_are_its_own():
    """The first chain alone has a cliff, and one chain of five has steps that are always accepted."""
    height = torch.tensor([1e7, 0, 0, 0, 0], dtype=F64)
    flat = torch.tensor([1, 1, 0, 1, 1], dtype=F64)
    cliff = lambda x: -0.5 * flat * (x**2).sum(1) - height * torch.relu(x[:, 0] - 1)  # noqa: E731
    sampler = NUTS(1, 0.5, mass="unit", max_depth=4)
    drawn = quiet(cliff, torch.zeros(5, 2, dtype=F64), sampler, draws=60, warmup=0, rng=stream(2))
    assert drawn.divergences.shape == drawn.acceptance.shape == drawn.gradients.shape == (5,)
    assert drawn.divergences[0] > 0
    assert drawn.divergences[1:].tolist() == [0] * 4
    assert drawn.acceptance[2] == pytest.approx(1.0)
    assert drawn.acceptance[0] < 0.99
    assert drawn.gradients[2] == 60 * 15 > 1.5 * drawn.gradients[1]  # nothing turns back on a plain


def test_a_sampler_without_acceptance_has_the_share_of_draws_that_moved():
    class Every:
        """Moves the second entry of a chain's state in every second draw, and one chain never."""

        def __init__(self):
            self.calls = 0

        def __call__(self, log_density, x, *, rng):
            self.calls += 1
            step = torch.zeros_like(x)
            step[1:, -1] = self.calls % 2
            return x + step

    for event in ((2,), ()):
        start = torch.zeros(3, *event, 1, dtype=F64)
        drawn = quiet(lambda x: -x.flatten(1).abs().sum(1), start, Every(), draws=5, warmup=1, rng=stream(1))
        assert drawn.acceptance.tolist() == [0, 0.5, 0.5]
        assert drawn.gradients.tolist() == drawn.divergences.tolist() == drawn.warm_gradients.tolist() == [0, 0, 0]
        assert drawn.log_density is drawn.step_size is None


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


@pytest.mark.parametrize(
    ("steps", "own", "given", "expected"),
    [(3, 0, None, 3000), (3, 7, None, 7), (3, 7, 5, 15), (1, 0, None, 1000), (0, 0, 4, 4), (2, 9, 0, 0)],
)
def test_the_warm_up_of_a_sampler_that_adapts(steps, own, given, expected):
    """A draw is ``steps`` transitions, in the warm-up too; the sampler's own warm-up counts in transitions."""

    class Asked(Exception):
        pass

    class Spy(MALA):
        def record(self, log_density, x, *, thin=1, rng):
            raise Asked(self.steps, self.warmup, thin)

    with pytest.raises(Asked) as asked:
        draw(normal, torch.zeros(2, 2, dtype=F64), Spy(steps, 0.1, warmup=own), draws=6, warmup=given, rng=stream(1))
    assert asked.value.args == (6, expected, max(1, steps))


@pytest.mark.parametrize(("given", "calls"), [(None, 1004), (3, 7), (0, 4)])
def test_the_warm_up_of_a_sampler_that_does_not(given, calls):
    made = []

    def sampler(log_density, x, *, rng):
        made.append(x)
        return x + 1

    drawn = quiet(lambda x: 0 * x.sum(1), torch.zeros(2, 1, dtype=F64), sampler, draws=4, warmup=given, rng=stream(1))
    assert len(made) == calls
    assert drawn.x[0, :, 0].tolist() == [calls - 3, calls - 2, calls - 1, calls]


@pytest.mark.parametrize("good", [1, 2, 101, 102])
def test_starts_are_drawn_again_a_hundred_times(good):
    class Late:
        calls = 0

        def sample(self, n, rng):
            self.calls += 1
            return torch.full((n, 1), 1.0 if self.calls >= good else -1.0, dtype=F64)

        def log_prob(self, x):
            raise AssertionError("not needed")

    def run():
        return quiet(lambda x: x.log().sum(1), Late(), MALA(1, 1e-3), draws=4, warmup=0, chains=2, rng=stream(1))

    if good <= 101:
        assert (run().x > 0).all()
    else:
        with pytest.raises(InputError, match="got nan for chain 0 and 2 of 2 chains outside"):
            run()


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 1e3}, r"draws must be a whole number, got 1000\.0"),
        ({"draws": True}, "draws must be a whole number, got True"),
        ({"warmup": 5.0}, r"warmup must be a whole number, got 5\.0"),
        ({"rng": 0}, r"rng must be a torch\.Generator, got 0: give absynth\.stream"),
        ({"rng": None}, r"rng must be a torch\.Generator, got None"),
        ({"sampler": "nuts"}, "sampler must be a sampler with its numbers, got 'nuts'"),
        ({"sampler": NUTS}, "sampler must be a sampler with its numbers, got NUTS"),
        ({"log_density": 3}, "log_density must be a function .* got int"),
        ({"log_density": ab.StandardNormal(2)}, "got StandardNormal: give its log_prob"),
        ({"start": [[0.0, 0.0]]}, r"start must be a tensor .* got list: give torch\.as_tensor"),
        ({"start": torch.zeros(4, 0)}, r"and entries, got \[4, 0\]: one row a chain"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_of_another_type_are_refused_in_words(change, message):
    given = {"log_density": normal, "start": torch.zeros(4, 2), "sampler": MALA(1, 0.3), "rng": stream(1)} | change
    plain = inspect.unwrap(draw)  # without the check of annotations, which runs in tests alone
    with pytest.raises(InputError, match=message):
        plain(**({"draws": 5, "warmup": 2} | given))


# --- log densities that are none -----------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [torch.arange(8.0).view(4, 2), torch.ones(4, 2)], ids=["apart", "together"])
def test_a_density_of_a_chain_that_sees_other_chains_is_refused(start):
    centred = lambda x: -0.5 * ((x - 0.5 * x.mean(0)) ** 2).sum(1)  # noqa: E731
    with pytest.raises(InputError, match="got values that depend on the other chains"):
        draw(centred, start, MALA(1, 0.5), draws=10, warmup=10, rng=stream(1))
    widths = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None]  # a density for each chain is one
    quiet(lambda x: -0.5 * ((x / widths) ** 2).sum(1), start, MALA(1, 0.5), draws=10, warmup=10, rng=stream(1))


def test_a_density_with_noise_in_it_is_refused():
    noise = torch.Generator().manual_seed(0)
    noisy = lambda x: -0.5 * ((x + 0.1 * torch.randn(2, generator=noise)) ** 2).sum(1)  # noqa: E731
    with pytest.raises(InputError, match="got values that change from call to call"):
        draw(noisy, torch.ones(4, 2), MALA(1, 0.5), draws=10, warmup=10, rng=stream(1))


def test_rounding_of_cancelling_sums_is_no_dependence():
    """−½ (Σ x)² with x of size 1e8 in float32 cancels to rounding errors, which depend on how x lies in memory."""
    flat = lambda x: -0.5 * x.sum(1) ** 2  # noqa: E731
    x = torch.randn(4, 5, generator=stream(1), dtype=torch.float32)
    x = 1e8 * (x - x.mean(1, keepdim=True))
    assert flat(x)[0] != flat(x[:1].expand_as(x))[0]
    quiet(flat, x, MALA(1, 1e-6), draws=5, warmup=0, rng=stream(1))


def test_a_density_too_large_for_its_type_is_reported():
    """1e8 in float32 is a multiple of 8: exp(f) is then wrong by e^±4."""
    start = torch.zeros(4, 2)
    drawn = quiet(lambda x: normal(x) + 1e8, start, MALA(1, 0.5), draws=20, warmup=20, rng=stream(1))
    assert "log densities of size 1e+08 are rounded to 12 in float32" in drawn.warning
    assert "subtract a constant" in drawn.warning
    for shifted, x in ((1e6, start), (1e8, start.double())):
        drawn = quiet(lambda x, s=shifted: normal(x) + s, x, MALA(1, 0.5), draws=20, warmup=20, rng=stream(1))
        assert "rounded" not in drawn.warning


@pytest.mark.parametrize(("size", "reported"), [(2e6, False), (4e6, True), (1.6e7, True)])
def test_a_quarter_of_a_nat_may_be_rounded_away(size, reported):
    drawn = quiet(lambda x: normal(x) - size, torch.zeros(2, 2), MALA(1, 0.5), draws=8, warmup=0, rng=stream(1))
    assert ("rounded" in drawn.warning) == reported


@pytest.mark.parametrize(("value", "change", "refused"), [(0, 1.2, 0), (0, 1.8, 1), (3, 5.5, 0), (-3, 6.5, 1)])
def test_values_may_change_by_the_root_of_the_rounding(value, change, refused):
    """1.49e-8 (1 + |value|) in float64."""
    calls = []

    def density(x):
        calls.append(x)
        return 0 * x.sum(1) + value + (len(calls) % 2) * change * 1e-8

    def run():
        still = lambda log_density, x, *, rng: x  # noqa: E731
        quiet(density, torch.zeros(2, 1, dtype=F64), still, draws=4, warmup=0, rng=stream(1))

    if refused:
        with pytest.raises(InputError, match="change from call to call"):
            run()
    else:
        run()


def test_a_density_of_plus_infinity_is_reported():
    pole = lambda x: torch.where(x[:, 0] > 1, math.inf, normal(x))  # noqa: E731
    drawn = quiet(pole, torch.zeros(8, 2), MALA(1, 0.5), draws=100, warmup=20, rng=stream(1))
    assert "the log density is +inf in some draws" in drawn.warning


def test_a_gradient_that_is_not_finite_is_named():
    root = lambda x: -x.abs().sqrt().sum(1)  # noqa: E731
    with pytest.raises(InputError, match=r"got a gradient that is not \(at log density -0\) for chain 0 and 4 of 4"):
        draw(root, torch.zeros(4, 2), MALA(1, 0.5), draws=10, rng=stream(1))


def test_a_torch_distribution_that_refuses_values_says_how_not_to():
    gamma = torch.distributions.Gamma(torch.tensor([2.0]), torch.tensor([1.0]))
    log_prob = lambda x: gamma.log_prob(x).sum(1)  # noqa: E731
    with pytest.raises(InputError, match="build it with validate_args=False"):
        draw(log_prob, gamma, MALA(1, 5.0), draws=20, warmup=0, rng=stream(1))
    other = lambda x: torch.zeros(2).log_softmax(5)  # noqa: E731  an error of the user's own stays what it is
    with pytest.raises(IndexError):
        draw(other, gamma, MALA(1, 5.0), draws=20, warmup=0, rng=stream(1))


# --- the advice ----------------------------------------------------------------------------------------------------


def test_stuck_chains_get_advice_about_the_step():
    drawn = quiet(normal, START, MALA(1, 1e4), draws=50, warmup=0, chains=6, rng=stream(1))
    assert drawn.warning.endswith("give a longer warmup or a shorter step")
    assert "Tempering" not in drawn.warning


def test_one_chain_is_not_said_to_disagree_with_others():
    trend = torch.linspace(-1, 1, 500, dtype=F64)[None, :, None].repeat(1, 1, 2)
    assert "the halves of the chain disagree" in summarize_chains(trend).warning
    assert "chains disagree" in summarize_chains(trend.repeat(2, 1, 1)).warning


@pytest.mark.parametrize(("step_size", "ratio"), [(1.0, 4 / 3), (1.6, 1 / (1 - 0.64)), (0.3, None)])
def test_the_bias_of_langevin_is_reported(step_size, ratio):
    """On N(0, 1) the variance of Langevin's draws is 1 / (1 − δ²/4), and E[x · score] minus that."""
    unit = lambda x: -0.5 * (x**2).sum(1)  # noqa: E731
    short = {"draws": 30, "warmup": 5, "rng": stream(1)}
    start = torch.randn(400, 1, generator=stream(2), dtype=F64) * (ratio or 1) ** 0.5
    drawn = quiet(unit, start, Langevin(2, step_size), **short)
    if ratio is None:
        assert drawn.bias is None
        assert "MALA" not in drawn.warning
        return
    assert abs(drawn.bias / -ratio - 1) < 0.1
    assert f"E[(x - mean) score] is {drawn.bias:.2f} where the law has -1" in drawn.warning
    assert "shorten the step, or use MALA" in drawn.warning
    cold = Langevin(2, step_size, noise_scale=0.5 * step_size)  # at temperature 1/4 the ratio is the same
    assert abs(quiet(unit, start / 2, cold, **short).bias / -ratio - 1) < 0.1
    wrapped = Preconditioned(Langevin(2, step_size / 10), torch.full((1,), 10.0, dtype=F64))
    assert abs(quiet(unit, start, wrapped, **short).bias / -ratio - 1) < 0.1
    assert quiet(unit, start, MALA(1, step_size), **short).bias is None
