"""Annealed importance sampling against quadrature and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from absynth.data.toy import EightGaussians
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, StandardNormal, Uniform
from absynth.errors import InputError
from absynth.metrics import likelihood
from absynth.metrics.grid import Grid
from absynth.metrics.likelihood import bits_per_dimension, dequantize, log_prob_latent, log_z
from absynth.samplers import HMC, MALA, Langevin
from absynth.seeding import noise_like, stream


class Quadratic(nn.Module):
    """f(z) = b·z − ½ zᵀ diag(d) z."""

    def __init__(self, b: torch.Tensor, d: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("b", b)
        self.register_buffer("d", d)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self.b - 0.5 * z.square() @ self.d


@pytest.fixture(autouse=True)
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def skewed(x: torch.Tensor) -> torch.Tensor:
    """A lopsided, curved density in the plane."""
    return -0.5 * x[:, 0] ** 2 - 2 * (x[:, 1] - 0.5 * x[:, 0] ** 2) ** 2 + 0.7 * x[:, 0] + torch.sin(2 * x[:, 1])


@pytest.mark.parametrize("transition", [HMC(1, 0.3, leapfrog_steps=3), MALA(3, 0.3)])
def test_within_a_twentieth_of_a_nat_of_quadrature(transition):
    truth = float(Grid(-12, 16, 400, 2).log_integral(skewed))
    found = log_z(skewed, StandardNormal(2, std=2.0), chains=600, temperatures=60, transition=transition, rng=stream(1))
    assert abs(found.lower.value - truth) < 0.05
    assert abs(found.upper.value - truth) < 0.05
    assert found.lower.error < 0.05
    assert 0.5 < found.acceptance < 0.95


def test_eight_modes_against_their_exact_normalization():
    target = EightGaussians()
    found = log_z(
        lambda x: target.log_prob(x) + 3.0,
        StandardNormal(2),
        chains=800,
        temperatures=60,
        transition=HMC(1, 0.1, leapfrog_steps=3),
        samples=target.sample(800, stream(5)),
        rng=stream(2),
    )
    assert abs(found.lower.value - 3.0) < 0.05
    assert abs(found.upper.value - 3.0) < 0.05


def gaussian64() -> tuple[Quadratic, float]:
    """exp(b·z − ½ zᵀ diag(d) z) N(z; 0, I) in 64 dimensions, and its log Z."""
    b, d = torch.linspace(-1, 1, 64), torch.linspace(0, 3, 64)
    return Quadratic(b, d), float((0.5 * b**2 / (1 + d) - 0.5 * torch.log1p(d)).sum())


def test_closed_form_in_64_dimensions_and_the_bounds_narrow():
    f, truth = gaussian64()
    density = EBM(f, StandardNormal(64))()
    exact = f.b / (1 + f.d) + noise_like(torch.empty(800, 64), stream(7)) / (1 + f.d).sqrt()
    gaps = []
    for temperatures in (2, 10, 200):
        found = log_z(
            density.log_density,
            density.reference,
            chains=800,
            temperatures=temperatures,
            transition=HMC(1, 0.3, leapfrog_steps=3),
            samples=exact,
            rng=stream(3),
        )
        gaps.append(found.gap)
        assert found.lower.value - 4 * found.lower.error < truth < found.upper.value + 4 * found.upper.error
    assert gaps[0] > 1.5 * gaps[1] > 3 * abs(gaps[2])
    assert abs(found.lower.value - truth) < 0.05
    assert abs(found.upper.value - truth) < 0.05
    assert found.lower.effective > 200


def test_one_temperature_is_importance_sampling_with_bounds_that_bracket():
    f, truth = gaussian64()
    density = EBM(f, StandardNormal(64))()
    exact = f.b / (1 + f.d) + noise_like(torch.empty(500, 64), stream(8)) / (1 + f.d).sqrt()
    found = log_z(density.log_density, density.reference, chains=500, temperatures=1, samples=exact, rng=stream(4))
    assert found.lower.value < truth - 1  # one leap is far from enough here, and the two sides say so
    assert found.upper.value > truth + 1
    assert found.lower.effective < 20


def test_a_transition_that_leaves_another_law_is_seen():
    f, truth = gaussian64()
    density = EBM(f, StandardNormal(64))()
    exact = f.b / (1 + f.d) + noise_like(torch.empty(800, 64), stream(7)) / (1 + f.d).sqrt()
    wrong = Langevin(3, 0.55, noise_scale=0.7)  # samples temperature 1.6
    found = log_z(
        density.log_density, density.reference, chains=200, temperatures=60, transition=wrong, samples=exact,
        rng=stream(3),
    )  # fmt: skip
    assert abs(found.lower.value - truth) > 0.5
    assert math.isnan(found.acceptance)


@pytest.mark.parametrize("f_is_flat", [pytest.param(False, marks=pytest.mark.slow), True])
def test_log_prob_of_a_linear_gaussian_latent_model(f_is_flat):
    rng = stream(11)
    weight = noise_like(torch.empty(10, 3), rng)
    b, d = torch.tensor([0.5, -1.0, 0.2]), torch.tensor([3.0, 0.0, 1.0])
    b, d = (0 * b, 0 * d) if f_is_flat else (b, d)
    net = nn.Linear(3, 10, bias=False)
    with torch.no_grad():
        net.weight.copy_(weight)
    prior, generator = EBM(Quadratic(b, d), StandardNormal(3)), GaussianGenerator(net, 1.0)
    # p_α = N(b/(1+d), 1/(1+d)), so x is Gaussian too.
    mean, covariance = weight @ (b / (1 + d)), weight @ torch.diag(1 / (1 + d)) @ weight.T + torch.eye(10)
    law = torch.distributions.MultivariateNormal(mean, covariance)
    x = mean + noise_like(torch.empty(6, 10), rng) @ torch.linalg.cholesky(covariance).T
    # Of the flat f it is 0; the other one is estimated along the way.
    nothing = likelihood.Estimate(0.0, 0.0, 1.0, 1)
    known = likelihood.LogZ(nothing, nothing, 1, 1.0) if f_is_flat else None
    found = log_prob_latent(
        prior,
        generator,
        x,
        chains=300,
        temperatures=60,
        transition=HMC(1, 0.2, leapfrog_steps=3),
        log_z_prior=known,
        rng=rng,
    )
    assert ((found.log_prob - law.log_prob(x)).abs() < 5 * found.error + 0.05).all()
    assert found.error.max() < 0.1
    assert abs((found.log_prob - law.log_prob(x)).mean()) < 0.05
    assert (found.effective > 50).all()


def test_bits_per_dimension_of_uniform_bytes_is_eight(rng):
    x = torch.randint(0, 256, (2000, 5), generator=rng) / 127.5 - 1
    spread = dequantize(x, rng=rng)
    assert spread.abs().max() <= 1 + 1 / 255
    assert torch.equal(((spread + 1) * 127.5).round(), ((x + 1) * 127.5).round())  # nothing leaves its cell
    log_prob = torch.full((2000,), -5 * math.log(2 * 256 / 255))
    assert torch.allclose(bits_per_dimension(log_prob, 5), torch.tensor(8.0))


def test_two_values_cost_a_bit():
    log_prob = torch.full((3,), -4 * math.log(2 * 2))  # uniform on [−2, 2], each value's cell is 2 wide
    assert torch.allclose(bits_per_dimension(log_prob, 4, levels=2), torch.tensor(1.0))


def test_the_error_and_the_effective_number_are_those_of_the_weights():
    found = likelihood.estimate(torch.tensor([0.0, 0.0, 0.0, -math.inf]))
    assert found.value == pytest.approx(math.log(0.75))
    assert found.effective == pytest.approx(3.0)
    spread = torch.stack(
        [torch.tensor(likelihood.estimate(0.8 * noise_like(torch.empty(400), stream(s))).value) for s in range(200)]
    )
    stated = likelihood.estimate(0.8 * noise_like(torch.empty(400), stream(999))).error
    assert 0.75 < float(spread.std()) / stated < 1.35


def test_a_uniform_reference_is_refused():
    with pytest.raises(InputError, match="normalized on the whole space, got Uniform"):
        log_z(skewed, Uniform(2), rng=stream(1))
    with pytest.raises(InputError, match="at least 1 temperature, got 0"):
        log_z(skewed, StandardNormal(2), temperatures=0, rng=stream(1))


def test_log_z_is_the_middle_of_its_bounds():
    lower, upper = (likelihood.Estimate(value, 0.1, 20.0, 40) for value in (1.5, 2.5))
    found = likelihood.LogZ(lower, upper, 100, 0.8)
    assert (found.value, found.gap) == (2.0, 1.0)


# The parts, with chains that a test moves by hand ---------------------------------------------------------------------


class Line:
    """A reference of log density 0 whose draws are 0, 1, 2 ... times a factor."""

    def __init__(self, *factors: float) -> None:
        self.factors = torch.tensor(factors)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x))

    def sample(self, n: int, rng: object) -> torch.Tensor:
        assert n == len(self.factors)
        return self.factors[:, None].clone()


def slope(x: torch.Tensor) -> torch.Tensor:
    """With the reference above, log π_β(1) is β."""
    return x[:, 0]


class Up:
    """Adds 1 to the states, and keeps its number and the β that it ran at."""

    def __init__(self, number: int, seen: list) -> None:
        self.number, self.seen = number, seen

    def __call__(self, density, x, *, rng):
        self.seen.append((self.number, round(float(density(torch.ones(1, 1))), 9)))
        return x + 1


@pytest.mark.parametrize(("transition", "target"), [(HMC(1, 0.2, target_accept=0.7), 0.7), (MALA(1, 0.2), 0.57)])
def test_temperatures_are_equally_far_apart_and_step_sizes_follow_acceptance(transition, target, monkeypatch):
    """A pilot whose k-th move leaves the states at k times (−1, 1, −3, 3), two groups, at acceptance 0.9."""
    moves = []

    def move(sampler, density, x, *, rng):
        moves.append(round(float(density(torch.ones(1, 1))), 12))
        return len(moves) * torch.tensor([-1.0, 1.0, -3.0, 3.0])[:, None], 0.9

    monkeypatch.setattr(likelihood, "_move", move)
    options = {"chains": 4, "groups": 2, "rng": stream(0)}
    betas, samplers = likelihood.plan(slope, Line(0, 0, 0, 0), 9, transition, **options)
    walk = [(k / 60) ** 4 for k in range(61)]
    assert moves == [round(beta, 12) for beta in walk for _ in range(2)]
    spread = [2 * 2**0.5 * (2 * k + 2) for k in range(61)]  # the mean of both groups' standard deviations
    length = [0.0]
    for k in range(60):
        length.append(length[-1] + 0.5 * (spread[k] + spread[k + 1]) * (walk[k + 1] - walk[k]))
    for i, beta in enumerate(betas.tolist()):
        k = min(max(j for j in range(61) if length[j] <= length[-1] * i / 9 + 1e-12), 59)
        share = (length[-1] * i / 9 - length[k]) / (length[k + 1] - length[k])
        assert beta == pytest.approx(walk[k] + share * (walk[k + 1] - walk[k]), abs=1e-9)
    sizes = [0.2 * math.exp((0.9 - target) * (k + 1)) for k in range(61)]
    golden = (5**0.5 - 1) / 2
    for i, (beta, sampler) in enumerate(zip(betas.tolist()[1:], samplers, strict=True)):
        k = min(max(j for j in range(61) if walk[j] <= beta), 59)
        size = sizes[k] + (beta - walk[k]) / (walk[k + 1] - walk[k]) * (sizes[k + 1] - sizes[k])
        assert sampler.step_size == pytest.approx(size * (1 - 0.5 * (i * golden % 1)), rel=1e-6)
        assert type(sampler) is type(transition)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.0, math.inf)], ids=["no spread", "no finite spread"])
def test_temperatures_of_an_unknown_length_are_evenly_spaced(factors):
    still = Langevin(0, 0.1)
    betas, samplers = likelihood.plan(slope, Line(*factors), 60, still, chains=2, rng=stream(0))
    torch.testing.assert_close(betas, torch.arange(61) / 60)
    assert samplers == [still] * 60


def test_annealing_adds_up_what_each_temperature_adds_and_runs_each_transition_at_its_own():
    betas, seen = torch.tensor([0.0, 0.1, 0.4, 1.0]), []
    ups = [Up(k, seen) for k in (1, 2, 3)]
    weights, x, _ = likelihood.anneal(slope, Line(5, 7), betas, ups, 2, rng=stream(0))
    torch.testing.assert_close(weights, torch.tensor([5.0, 7.0]) + 0.3 * 1 + 0.6 * 2)
    assert x.flatten().tolist() == [8, 10]
    assert seen == [(1, 0.1), (2, 0.4), (3, 1.0)]
    seen.clear()
    down = likelihood.anneal_back(slope, Line(5, 7), betas, ups, torch.tensor([[5.0], [7.0]]), rng=stream(0))
    torch.testing.assert_close(down, torch.tensor([5.0, 7.0]) + 0.3 * 1 + 0.1 * 2)
    assert seen == [(2, 0.4), (1, 0.1)]  # the last forward transition is the one that samples take first


def test_the_reverse_chains_begin_at_forward_ends_by_their_weight(monkeypatch):
    seen, begun = [], []
    ups = [Up(1, seen), Up(2, seen)]
    monkeypatch.setattr(likelihood, "plan", lambda *_, **__: (torch.tensor([0.0, 0.5, 1.0]), ups))
    back = likelihood.anneal_back
    monkeypatch.setattr(likelihood, "anneal_back", lambda *a, **k: begun.append(a[4]) or back(*a, **k))
    found = log_z(slope, Line(0, 0, 99), chains=3, settle=4, rng=stream(0))
    assert begun[0].flatten().tolist() == [99 + 2 + 4] * 3  # the third chain has all the weight
    assert [number for number, _ in seen] == [1, 2, 2, 2, 2, 2, 1]
    assert found.lower.value == pytest.approx(99 + 0.5 - math.log(3))
    assert found.upper.value == pytest.approx(105 + 0.5)


def test_log_z_of_a_prior_has_four_times_the_temperatures_and_64_chains(monkeypatch):
    given = []
    known = likelihood.LogZ(*[likelihood.Estimate(0.0, 0.1, 20.0, 40)] * 2, 100, 0.8)
    monkeypatch.setattr(likelihood, "log_z", lambda *_, **options: given.append(options) or known)
    prior, z = EBM(Quadratic(torch.zeros(1), torch.zeros(1)), StandardNormal(1)), torch.zeros(1, 1)
    for chains in (2, 70):
        likelihood.log_prob_latent(
            prior, GaussianGenerator(nn.Identity(), 1.0), z, chains=chains, temperatures=3, rng=stream(0)
        )
    assert [(options["chains"], options["temperatures"]) for options in given] == [(64, 12), (70, 12)]
