"""Every sampler against its exact law: the target where it is exact, its own discretized law where it is biased.

A new sampler is one line in ``LAWS`` and one in ``EVERY``. Negative controls run the very assertion that the right
sampler passes, with one thing wrong, and must fail.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from laws import BUDGET, covariance_is, mean_is, normal_law, same_law
from scipy import stats
from torch import Tensor, nn

from absynth.density import observe, score
from absynth.distributions import sum_event
from absynth.errors import InputError
from absynth.samplers import HMC, MALA, NUTS, AnnealedLangevin, Langevin, Underdamped
from absynth.samplers.metropolis import choose
from absynth.seeding import Streams, noise_like, stream, uniform_like
from absynth.types import LogDensity, Sampler

F64 = torch.float64
MEAN, VAR, MEAN_0, VAR_0 = 1.5, 0.8, -2.0, 0.3  # the target N(m, v), and where its chains begin
CHAINS = 100_000  # a standard deviation 2 % too large is seen with certainty

# --- targets -------------------------------------------------------------------------------------------------------


def gaussian(x: Tensor) -> Tensor:
    return sum_event(-0.5 * (x - MEAN) ** 2 / VAR)


def gumbel(x: Tensor) -> Tensor:
    """Skewed to the right: exp(−x − e^−x)."""
    return sum_event(-x - (-x).exp())


def log_gamma(x: Tensor) -> Tensor:
    """The log of a Gamma(2) variable, skewed to the left: exp(2x − e^x)."""
    return sum_event(2 * x - x.exp())


def gamma(x: Tensor) -> Tensor:
    """Gamma(3), with an edge: the log density is not a number below zero."""
    return sum_event(2 * x.log() - x)


# --- exact laws ----------------------------------------------------------------------------------------------------


def short_run(step_size: float, temperatures: list[float]) -> tuple[float, float]:
    """Mean and variance after these Langevin steps on N(m, v) from N(m_0, v_0)."""
    a = 1 - step_size**2 / (2 * VAR)
    mean, var = MEAN_0, VAR_0
    for temperature in temperatures:
        mean, var = MEAN + a * (mean - MEAN), a * a * var + step_size**2 * temperature
    return mean, var


@dataclass(frozen=True)
class Law:
    """A sampler run on a target from N(start, v_0), and what must hold of where its chains end."""

    sampler: Sampler
    target: LogDensity
    holds: Callable[[Tensor], None]
    start: float = MEAN_0

    def check(self, rng: torch.Generator) -> None:
        begin = self.start + math.sqrt(VAR_0) * noise_like(torch.empty(CHAINS, 1, dtype=F64), rng)
        self.holds(self.sampler(self.target, begin, rng=rng).flatten())


def is_normal(mean: float, var: float) -> Callable[[Tensor], None]:
    return lambda x: normal_law(x, mean, var)


def is_law(law) -> Callable[[Tensor], None]:
    return lambda x: same_law(x, law.cdf)


GUMBEL, LOG_GAMMA, GAMMA = is_law(stats.gumbel_r), is_law(stats.loggamma(2)), is_law(stats.gamma(3))
WARM, FADING = AnnealedLangevin(15, 0.6, hot=9.0), AnnealedLangevin(12, 0.5, hot=2.0, cold=0.0)

LAWS = {
    "Langevin, 1 step": Law(Langevin(1, 0.7), gaussian, is_normal(*short_run(0.7, [1.0]))),
    "Langevin, 4 steps": Law(Langevin(4, 0.7), gaussian, is_normal(*short_run(0.7, [1.0] * 4))),
    "Langevin, 25 steps": Law(Langevin(25, 0.7), gaussian, is_normal(*short_run(0.7, [1.0] * 25))),
    "Langevin, T = 1/4": Law(Langevin(8, 0.8, noise_scale=0.4), gaussian, is_normal(*short_run(0.8, [0.25] * 8))),
    "Langevin, T = 4": Law(Langevin(8, 0.5, noise_scale=1.0), gaussian, is_normal(*short_run(0.5, [4.0] * 8))),
    "Langevin, T = 0": Law(Langevin(3, 0.7, noise_scale=0.0), gaussian, is_normal(*short_run(0.7, [0.0] * 3))),
    "AnnealedLangevin to 1": Law(WARM, gaussian, is_normal(*short_run(0.6, [9.0 ** (1 - k / 14) for k in range(15)]))),
    "AnnealedLangevin to 0": Law(
        FADING, gaussian, is_normal(*short_run(0.5, [2 * (1 - k / 11) ** 2 for k in range(12)]))
    ),
    "MALA, Gaussian": Law(MALA(30, 1.2), gaussian, is_normal(MEAN, VAR)),
    "MALA, Gumbel": Law(MALA(60, 1.2), gumbel, GUMBEL, start=1.0),
    "MALA, log Gamma": Law(MALA(50, 1.0), log_gamma, LOG_GAMMA, start=0.5),
    "MALA, Gamma with an edge": Law(MALA(80, 1.5), gamma, GAMMA, start=3.0),
    "HMC, Gaussian": Law(HMC(6, 0.5, leapfrog_steps=3), gaussian, is_normal(MEAN, VAR)),
    "HMC, Gumbel": Law(HMC(12, 0.6, leapfrog_steps=3), gumbel, GUMBEL, start=1.0),
    "HMC, log Gamma": Law(HMC(12, 0.5, leapfrog_steps=3), log_gamma, LOG_GAMMA, start=0.5),
    "HMC, adapted, Gumbel": Law(HMC(16, 0.3, leapfrog_steps=2, warmup=25), gumbel, GUMBEL, start=1.0),
    "HMC, adapted with a mass, Gumbel": Law(HMC(12, 0.3, leapfrog_steps=2, warmup=45), gumbel, GUMBEL, start=1.0),
    "NUTS, Gaussian": Law(NUTS(18, 0.5), gaussian, is_normal(MEAN, VAR)),
    "NUTS, Gumbel": Law(NUTS(10, 0.7), gumbel, GUMBEL, start=1.0),
    "NUTS, log Gamma": Law(NUTS(10, 0.5), log_gamma, LOG_GAMMA, start=0.5),
    "NUTS, Gamma with an edge": Law(NUTS(14, 0.8), gamma, GAMMA, start=3.0),
}


LONG = ("NUTS, Gumbel", "NUTS, Gamma with an edge")


@pytest.mark.parametrize("name", [pytest.param(k, marks=pytest.mark.slow) if k in LONG else k for k in LAWS])
def test_law(name, rng):
    LAWS[name].check(rng)


# --- negative controls: one thing wrong ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Uncorrected:
    """MALA that forgets the ratio of proposal densities."""

    steps: int
    step_size: float

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: torch.Generator) -> Tensor:
        for _ in range(self.steps):
            y = Langevin(1, self.step_size)(log_density, x, rng=rng)
            accept = uniform_like(x[:, 0], rng).log() < log_density(y) - log_density(x)
            x = choose(accept, y, x)
        return x


def twice(log_density: LogDensity) -> LogDensity:
    return lambda x: 2 * log_density(x)


def minus(log_density: LogDensity) -> LogDensity:
    return lambda x: -log_density(x)


run, warm, mala = LAWS["Langevin, 25 steps"], LAWS["AnnealedLangevin to 1"], LAWS["MALA, Gumbel"]
WRONG = {
    "Langevin: noise dropped": replace(run, sampler=Langevin(25, 0.7, noise_scale=0.0)),
    "Langevin: noise 2 % too large": replace(run, sampler=Langevin(25, 0.7, noise_scale=0.714)),
    "Langevin: noise 2 % too small": replace(run, sampler=Langevin(25, 0.7, noise_scale=0.686)),
    "Langevin: drift doubled": replace(run, target=twice(gaussian)),
    "Langevin: sign flipped": replace(run, target=minus(gaussian)),
    "Langevin: the unbiased target expected": replace(run, holds=is_normal(MEAN, VAR)),
    "Langevin: one step too few": replace(LAWS["Langevin, 4 steps"], sampler=Langevin(3, 0.7)),
    "Annealed: drift doubled": replace(warm, target=twice(gaussian)),
    "Annealed: sign flipped": replace(warm, target=minus(gaussian)),
    "Annealed: not annealed": replace(warm, sampler=Langevin(15, 0.6)),
    "Annealed: start 4 % too hot": replace(warm, sampler=AnnealedLangevin(15, 0.6, hot=9.0 * 1.02**2, cold=1.02**2)),
    "MALA: proposal correction forgotten": replace(mala, sampler=Uncorrected(60, 1.2)),
    "MALA: correction forgotten, Gaussian": replace(LAWS["MALA, Gaussian"], sampler=Uncorrected(30, 1.2)),
    "MALA: no test at all": replace(mala, sampler=Langevin(60, 1.2)),
    "MALA: score of another density": replace(mala, target=lambda x: gumbel(x) + 0.05 * sum_event(x)),
    "MALA: skew mirrored": replace(mala, target=lambda x: gumbel(-x)),
    "HMC: temperature 6 % too low": replace(LAWS["HMC, Gumbel"], target=lambda x: 1.06 * gumbel(x)),
    "HMC: skew mirrored": replace(LAWS["HMC, Gumbel"], target=lambda x: gumbel(-x)),
}


@pytest.mark.parametrize("name", WRONG)
def test_negative_control(name, rng):
    with pytest.raises(AssertionError, match=r"law differs|not N\("):
        WRONG[name].check(rng)


# --- several dimensions --------------------------------------------------------------------------------------------

PRECISION = torch.tensor([[2.0, 0.9, -0.3], [0.9, 1.5, 0.2], [-0.3, 0.2, 1.2]], dtype=F64)
CENTRE = torch.tensor([1.0, -1.0, 0.5], dtype=F64)


def correlated(x: Tensor) -> Tensor:
    d = x - CENTRE
    return -0.5 * ((d @ PRECISION) * d).sum(1)


def stationary(step_size: float) -> Tensor:
    """P⁻¹(I − δ²P/4)⁻¹, the covariance that Langevin settles at."""
    return torch.linalg.inv(PRECISION @ (torch.eye(3, dtype=F64) - step_size**2 / 4 * PRECISION))


@pytest.mark.parametrize(
    ("sampler", "covariance"),
    [
        (Langevin(40, 0.8), stationary(0.8)),
        (Langevin(40, 0.8, noise_scale=0.4), 0.25 * stationary(0.8)),
        (MALA(40, 0.8), stationary(0.0)),
        (HMC(15, 0.35, leapfrog_steps=3), stationary(0.0)),
        (NUTS(6, 0.35), stationary(0.0)),
    ],
    ids=["Langevin", "Langevin, T = 1/4", "MALA", "HMC", "NUTS"],
)
def test_covariance_of_a_correlated_gaussian(sampler, covariance, rng):
    x = sampler(correlated, noise_like(torch.empty(30_000, 3, dtype=F64), rng), rng=rng)
    mean_is(x, CENTRE)
    covariance_is(x, covariance)
    wrong = stationary(0.0) if isinstance(sampler, Langevin) else stationary(0.8)
    with pytest.raises(AssertionError, match="covariance differs"):  # the test sees Langevin's bias
        covariance_is(x, wrong)


# --- dialects ------------------------------------------------------------------------------------------------------


def test_the_dialects_of_one_step_agree():
    """x + η∇f + sε is δ = s on f/T with T = s²/(2η), and δ = √(2η) on f with noise s: the same chain."""
    eta, s = 0.11, 0.09
    temperature = s**2 / (2 * eta)
    x, rng = torch.linspace(-1, 4, 12, dtype=F64).view(6, 2), stream(3)
    by_hand = x
    for _ in range(9):
        by_hand = by_hand + eta * score(gumbel, by_hand) + s * noise_like(by_hand, rng)
    scaled = Langevin(9, s)(lambda y: gumbel(y) / temperature, x, rng=stream(3))
    own_noise = Langevin(9, math.sqrt(2 * eta), noise_scale=s)
    torch.testing.assert_close(scaled, by_hand, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(own_noise(gumbel, x, rng=stream(3)), by_hand, rtol=1e-12, atol=1e-12)
    assert own_noise.temperature == pytest.approx(temperature, rel=1e-12)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(Langevin(9, s)(gumbel, x, rng=stream(3)), by_hand, rtol=1e-12, atol=1e-12)


def test_annealing_without_annealing_is_langevin():
    x = torch.linspace(-1, 1, 6, dtype=F64).view(3, 2)
    flat = AnnealedLangevin(7, 0.3, hot=1.0, cold=1.0)
    torch.testing.assert_close(flat(gumbel, x, rng=stream(1)), Langevin(7, 0.3)(gumbel, x, rng=stream(1)))


# --- Metropolis ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target_accept", [0.65, 0.9])
def test_dual_averaging_reaches_its_target_and_is_then_frozen(target_accept, rng):
    sampler = HMC(40, 0.02, leapfrog_steps=3, warmup=150, target_accept=target_accept)
    x = noise_like(torch.empty(500, 10, dtype=F64), rng)
    states = list(sampler.path(lambda x: gumbel(x), x, rng=rng))
    sizes = [s.step_size for s in states]
    assert len(states) == 150 + 40 + 1
    assert len(set(sizes[:150])) > 100
    assert set(sizes[150:]) == {sizes[150]}
    rate = torch.stack([s.accepted for s in states[151:]]).mean()
    assert abs(float(rate) - target_accept) < 0.03  # 20,000 transitions; what is left is the adaptation's own error


@pytest.mark.parametrize(
    "sampler", [MALA(20, 1.0), HMC(10, 0.7, leapfrog_steps=3), NUTS(10, 0.9)], ids=["MALA", "HMC", "NUTS"]
)
def test_states_tell_the_truth(sampler, rng):
    """The log density beside each state is its own, and a chain moves exactly where it says that it accepted."""
    states = list(sampler.path(gumbel, noise_like(torch.empty(200, 2, dtype=F64), rng), rng=rng))
    assert len(states) == sampler.steps + 1
    for before, after in pairwise(states):
        torch.testing.assert_close(after.log_density, gumbel(after.x), rtol=0, atol=1e-12)
        assert torch.equal((after.x != before.x).any(1), after.accepted.bool())
    rate = torch.stack([s.accepted for s in states[1:]]).mean()
    assert 0.3 < rate < 0.99


def test_malas_proposal_is_a_langevin_step(rng):
    """The target would be exact with any proposal; this is the one that its step size promises."""
    x = noise_like(torch.empty(200, 2, dtype=F64), rng)
    moved, proposed = MALA(1, 0.8)(gumbel, x, rng=stream(4)), Langevin(1, 0.8)(gumbel, x, rng=stream(4))
    accepted = (moved != x).any(1)
    assert 100 < accepted.sum() < 200
    torch.testing.assert_close(moved[accepted], proposed[accepted], rtol=1e-12, atol=1e-12)


def test_chains_stay_where_they_are_when_the_density_is_not_a_number():
    x = torch.full((50, 1), 0.1, dtype=F64)
    for sampler in (MALA(30, 3.0), HMC(30, 1.0, leapfrog_steps=2), NUTS(30, 1.0)):
        y = sampler(gamma, x, rng=stream(0))
        assert y.isfinite().all()
        assert (y > 0).all()


# --- what every sampler owes ---------------------------------------------------------------------------------------

EVERY = {
    "Langevin": Langevin(6, 0.3),
    "Langevin, own noise": Langevin(6, 0.3, noise_scale=0.1),
    "AnnealedLangevin": AnnealedLangevin(6, 0.3),
    "MALA": MALA(6, 0.6),
    "NUTS": NUTS(3, 0.4),
    "HMC": HMC(4, 0.3, leapfrog_steps=3),  # without warm-up: adaptation looks at all chains, so rows would not be free
}


class Net(nn.Module):
    """A small f, as [b, 2, 3] -> [b]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8, dtype=F64), nn.Linear(8, 1, dtype=F64)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x.flatten(1)))).squeeze(1) - 0.5 * sum_event(x**2)


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net()


@pytest.mark.parametrize("name", EVERY)
def test_row_i_is_the_same_in_any_batch(name, net):
    sampler = EVERY[name]

    def rows(ids: range) -> Tensor:
        streams = Streams(5, ids)
        return sampler(net, noise_like(torch.empty(len(ids), 2, 3, dtype=F64), streams), rng=streams)

    many = rows(range(64))
    torch.testing.assert_close(rows(range(1)), many[:1], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(rows(range(7)), many[:7], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(rows(range(20, 27)), many[20:27], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(many[0], many[1])


@pytest.mark.parametrize("name", EVERY)
def test_no_graph_no_gradients_no_change_of_input(name, net):
    sampler = EVERY[name]
    x = noise_like(torch.empty(5, 2, 3, dtype=F64), stream(1)).requires_grad_()
    kept = x.detach().clone()
    plain = sampler(net, x, rng=stream(2))
    with torch.no_grad():
        silent = sampler(net, x, rng=stream(2))
    with torch.inference_mode():
        begun_inside = sampler(net, kept * 1, rng=stream(2))
        inference = sampler(net, x, rng=stream(2))
    for y in (plain, silent, inference, begun_inside):
        assert not y.requires_grad
        assert y.grad_fn is None
        assert torch.equal(y, plain)
        assert y.data_ptr() != x.data_ptr()
    assert torch.equal(x, kept)
    assert x.grad is None
    assert all(p.grad is None for p in net.parameters())
    assert not torch.allclose(plain, kept)


@pytest.mark.parametrize("name", EVERY)
def test_an_observation_made_in_inference_mode_is_welcome(name, net):
    """Posterior chains hold data in their log density; data that was made under inference_mode must work."""
    with torch.inference_mode():
        y = torch.ones(5, 2, 3, dtype=F64)
        posterior = observe(net, lambda x: sum_event(-2 * (y - x) ** 2))
        inside = EVERY[name](posterior, torch.zeros(5, 2, 3, dtype=F64), rng=stream(2))
    free = torch.ones(5, 2, 3, dtype=F64)
    outside = EVERY[name](
        observe(net, lambda x: sum_event(-2 * (free - x) ** 2)), torch.zeros(5, 2, 3, dtype=F64), rng=stream(2)
    )
    assert torch.equal(inside, outside)


@pytest.mark.parametrize("name", EVERY)
def test_same_rng_same_chain_and_the_path_ends_where_the_call_does(name, net):
    sampler = EVERY[name]
    x = noise_like(torch.empty(5, 2, 3, dtype=F64), stream(1))
    global_state = torch.get_rng_state()
    states = list(sampler.path(net, x, rng=stream(2)))
    assert torch.equal(global_state, torch.get_rng_state())
    assert torch.equal(states[0].x, x)
    assert len(states) == sampler.steps + 1
    assert torch.equal(states[-1].x, sampler(net, x, rng=stream(2)))
    assert not torch.equal(states[-1].x, sampler(net, x, rng=stream(3)))
    assert len({s.x.data_ptr() for s in states}) == len(states)  # a kept path is not overwritten by later steps
    assert isinstance(sampler, Sampler)
    assert "steps=" in repr(sampler)


WRONG_SHAPES = {
    "[50, 1]": lambda x: -(x**2).sum(1, keepdim=True),
    "[]": lambda x: -(x**2).sum(),
    "[50, 2]": lambda x: -(x**2),
    "float": lambda x: 1.0,
}


@pytest.mark.parametrize("sampler", [Langevin(3, 0.1), MALA(3, 0.1), HMC(3, 0.1), NUTS(3, 0.1)], ids=repr)
def test_a_log_density_of_another_shape_is_refused(sampler):
    """Values [b, 1] broadcast to [b, b], and one number would make all chains accept together."""
    x = torch.zeros(50, 2, dtype=F64)
    for shape, log_density in WRONG_SHAPES.items():
        with pytest.raises(InputError, match=re.escape(f"must return shape [50], got {shape}: return one number")):
            sampler(log_density, x, rng=stream(0))
    with pytest.raises((InputError, TypeError), match=r"i(nt)?64"):  # a TypeError where types are checked
        sampler(lambda x: -(x**2).sum(1), x.long(), rng=stream(0))
    with pytest.raises(InputError, match="must be differentiable"):
        sampler(lambda x: torch.zeros(len(x), dtype=F64), x, rng=stream(0))


@pytest.mark.parametrize("make", [Langevin, AnnealedLangevin, Underdamped])
def test_numbers_of_a_langevin_sampler_are_refused_when_it_is_made(make):
    for steps, step_size, message in (
        (-1, 0.1, "steps must be 0 or more, got -1"),
        (5, -0.1, "step_size must be finite and not negative, got -0.1"),
        (5, float("nan"), "step_size must be finite and not negative, got nan"),
        (5, float("inf"), "step_size must be finite and not negative, got inf"),
    ):
        with pytest.raises(InputError, match=message):
            make(steps, step_size)
    third = {Langevin: "noise_scale", AnnealedLangevin: "hot", Underdamped: "friction"}[make]
    with pytest.raises(InputError, match=f"{third} must be finite and not negative, got -2"):
        make(5, 0.1, -2.0)
    assert make(0, 0.0).steps == 0


def test_a_tuned_sampler_stands_where_its_warm_up_ended():
    x = noise_like(torch.empty(6, 2, dtype=F64), stream(1))
    for sampler in (MALA(3, 0.2, warmup=12), HMC(2, 0.2, leapfrog_steps=2, warmup=50)):
        tuned, end = sampler.tuned(gaussian, x, rng=stream(2))
        states = list(sampler.path(gaussian, x, rng=stream(2)))
        assert len(states) == 1 + sampler.warmup + sampler.steps
        assert torch.equal(end, states[sampler.warmup].x)
        assert (tuned.steps, tuned.warmup) == (sampler.steps, 0)
        torch.testing.assert_close(tuned.step_size, states[-1].step_size)


def test_the_budget_is_the_suites():
    assert BUDGET == 1e-5
