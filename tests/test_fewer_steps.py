"""The options that need fewer steps: each against its exact law, with negative controls, under eager and traced."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from laws import BUDGET, covariance_is, mean_is, normal_law, same_law
from scipy import stats
from small import digits
from torch import Tensor, nn

from absynth import checkpoint
from absynth.algorithms import LatentPrior
from absynth.density import EBM, score
from absynth.distributions import GaussianGenerator, GaussianInference, Normal, StandardNormal, sum_event
from absynth.errors import InputError
from absynth.samplers import MALA, Adapted, FromLast, FromNoise, Langevin, Persistent, altered, engine
from absynth.samplers.preconditioned import Preconditioned, width_of
from absynth.samplers.underdamped import Underdamped
from absynth.seeding import noise_like, stream
from absynth.training import fit
from absynth.types import Batch

F64 = torch.float64
MEAN, VAR, MEAN_0, VAR_0 = 1.5, 0.8, -2.0, 0.3
CHAINS = 50_000
ENGINES = ("eager", "traced", "graph", pytest.param("compiled", marks=pytest.mark.slow))


def gaussian(x: Tensor) -> Tensor:
    return sum_event((x - MEAN) ** 2) * (-0.5 / VAR)


def starts(*shape: int) -> Tensor:
    return noise_like(torch.empty(CHAINS, *shape, dtype=F64), stream(1))


# --- BAOAB -----------------------------------------------------------------------------------------------------------


def baoab_law(steps: int, h: float, friction: float) -> tuple[float, float]:
    """Mean and variance of the position, from the linear recursion of (x − m, v)."""
    keep = math.exp(-friction * h)
    kick = np.array([[1, 0], [-h / 2 / VAR, 1]])
    drift = np.array([[1, h / 2], [0, 1]])
    move = kick @ drift @ np.diag([1, keep]) @ drift @ kick
    noise = kick @ drift @ np.array([0, math.sqrt(1 - keep**2)])
    mean, cov = np.array([MEAN_0 - MEAN, 0.0]), np.diag([VAR_0, 1.0])
    for _ in range(steps):
        mean, cov = move @ mean, move @ cov @ move.T + np.outer(noise, noise)
    return MEAN + mean[0], cov[0, 0]


def run_baoab(sampler, rng_seed: int = 2) -> Tensor:
    x = MEAN_0 + math.sqrt(VAR_0) * starts(1)
    return sampler(gaussian, x, rng=stream(rng_seed)).flatten()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("steps", "h", "friction"), [(4, 0.5, 0.7), (7, 0.9, 3.0)])
def test_underdamped_short_run_law(name: engine.Name, steps: int, h: float, friction: float) -> None:
    with engine.use(name):
        normal_law(run_baoab(Underdamped(steps, h, friction)), *baoab_law(steps, h, friction))


def test_underdamped_has_no_bias_on_a_gaussian_where_langevin_has() -> None:
    h = 1.2  # h²/VAR = 1.8: Euler's variance would be 1/(1 − 0.45) too wide
    mean, var = baoab_law(60, h, 1.0)
    assert (mean, var) == (pytest.approx(MEAN), pytest.approx(VAR))
    normal_law(run_baoab(Underdamped(30, h, 1.0)), MEAN, VAR)
    with pytest.raises(AssertionError):
        normal_law(run_baoab(Langevin(30, h)), MEAN, VAR)


@dataclass(frozen=True)
class Wrong(Underdamped):
    """Noise 10 % too strong."""

    def path(self, log_density, x, *, rng):  # type: ignore[override]
        yield from Underdamped(self.steps, self.step_size, self.friction * 1.25).path(log_density, x, rng=rng)


def test_underdamped_negative_controls() -> None:
    wanted = baoab_law(4, 0.5, 0.7)
    for wrong in (Wrong(4, 0.5, 0.7), Underdamped(5, 0.5, 0.7), Underdamped(4, 0.55, 0.7)):
        with pytest.raises(AssertionError):
            normal_law(run_baoab(wrong), *wanted)


def test_underdamped_spends_one_gradient_a_step() -> None:
    calls = []
    x = torch.zeros(3, 2, dtype=F64)
    states = list(Underdamped(5, 0.3).path(lambda x: (calls.append(1), gaussian(x))[1], x, rng=stream(0)))
    assert (len(states), len(calls)) == (6, 6)


# --- preconditioning -------------------------------------------------------------------------------------------------

PRECISION = torch.tensor([[100.0, 3.0, 0.0], [3.0, 4.0, 0.3], [0.0, 0.3, 0.25]], dtype=F64)
SCALE = torch.tensor([0.1, 0.5, 2.0], dtype=F64)
COVARIANCE = torch.linalg.inv(PRECISION)


def badly_scaled(x: Tensor) -> Tensor:
    return -0.5 * (x * (x @ PRECISION)).sum(1)


def preconditioned_law(step_size: float) -> Tensor:
    """Langevin's stationary covariance in scaled coordinates, and back."""
    scaled = SCALE[:, None] * PRECISION * SCALE
    inside = torch.linalg.inv(scaled - step_size**2 / 4 * scaled @ scaled)
    return SCALE[:, None] * inside * SCALE


@pytest.mark.parametrize("name", ENGINES)
def test_preconditioned_stationary_laws(name: engine.Name) -> None:
    x = starts(3) @ torch.linalg.cholesky(COVARIANCE).T
    with engine.use(name):
        end = Preconditioned(Langevin(25, 0.9), SCALE)(badly_scaled, x, rng=stream(2))
        covariance_is(end, preconditioned_law(0.9))
        mean_is(end, 0.0)
        covariance_is(Preconditioned(MALA(5, 0.9), SCALE)(badly_scaled, x, rng=stream(3)), COVARIANCE)


def test_preconditioned_negative_controls() -> None:
    x = starts(3) @ torch.linalg.cholesky(COVARIANCE).T
    for wrong in (Langevin(25, 0.09), Preconditioned(Langevin(25, 0.9), SCALE * 0.7)):
        with pytest.raises(AssertionError):
            covariance_is(wrong(badly_scaled, x, rng=stream(2)), preconditioned_law(0.9))


def test_preconditioned_moves_where_plain_steps_cannot() -> None:
    """Far along the wide coordinate, 25 plain steps at the narrow one's limit have hardly begun to come back."""
    x = starts(3)[:2000] * SCALE + torch.tensor([0.0, 0.0, 30.0], dtype=F64)
    plain = Langevin(25, 0.18)(badly_scaled, x, rng=stream(2))  # stable below 2/√100
    scaled = Preconditioned(Langevin(25, 0.9), SCALE)(badly_scaled, x, rng=stream(2))
    assert plain[:, 2].mean() > 25
    assert scaled[:, 2].mean().abs() < 1


@pytest.mark.parametrize("name", ENGINES)
def test_width_of_a_gaussian(name: engine.Name) -> None:
    """Exact where the curvature is diagonal, whatever the probes; unbiased elsewhere."""
    diagonal = PRECISION.diagonal()
    with engine.use(name):
        got = width_of(lambda x: -0.5 * (x * x * diagonal).sum(1), starts(3)[:4], rng=stream(3), probes=1)
        assert torch.allclose(got, diagonal.rsqrt(), rtol=1e-9)
        got = width_of(badly_scaled, starts(3)[:200], rng=stream(3), probes=64)
    assert torch.allclose(got, diagonal.rsqrt(), rtol=0.02)


def test_width_of_a_direction_that_curves_the_wrong_way() -> None:
    got = width_of(lambda x: -2 * x[:, 0] ** 2 + x[:, 1] ** 2, torch.zeros(2, 2, dtype=F64), rng=stream(0))
    assert torch.allclose(got, torch.tensor([0.5, 0.5], dtype=F64))


def test_both_run_on_planned_scores_to_rounding() -> None:
    x = starts(3)[:6]
    for sampler in (Underdamped(9, 0.1), Preconditioned(Langevin(9, 0.8), SCALE), Preconditioned(MALA(4, 0.8), SCALE)):
        wanted = sampler(badly_scaled, x, rng=stream(5))
        said: list[str] = []
        with engine.use("traced", say=said.append):
            got = sampler(badly_scaled, x, rng=stream(5))
        assert not said
        assert (got - wanted).abs().max() < 1e-12
    assert score(badly_scaled, x).shape == x.shape


# --- step sizes that adapt -------------------------------------------------------------------------------------------


def gumbel(x: Tensor) -> Tensor:
    return sum_event(-x - (-x).exp())


@pytest.mark.parametrize("name", ENGINES)
def test_mala_is_exact_after_its_warm_up(name: engine.Name) -> None:
    """From far away, with a step size that is thirty times too small to begin with."""
    x = starts(1)[:20_000] * 0.1 + 2.0
    with engine.use(name):
        end = MALA(30, 0.03, warmup=60)(gumbel, x, rng=stream(4))
    same_law(end.flatten(), stats.gumbel_r.cdf)
    with pytest.raises(AssertionError):  # the same steps without a warm-up have not arrived
        same_law(MALA(30, 0.03)(gumbel, x, rng=stream(4)).flatten(), stats.gumbel_r.cdf)


@pytest.mark.parametrize("target", [0.574, 0.9])
def test_mala_reaches_its_acceptance_and_keeps_its_step(target: float) -> None:
    x = starts(10)[:500]
    states = list(MALA(40, 0.01, warmup=150, target_accept=target).path(gumbel, x, rng=stream(5)))
    sizes = [s.step_size for s in states]
    assert len(states) == 191
    assert len(set(sizes[:150])) > 100
    assert set(sizes[150:]) == {sizes[150]}
    assert abs(float(torch.stack([s.accepted for s in states[151:]]).mean()) - target) < 0.03


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("first", [0.01, 1.5])
def test_adapted_langevin_has_the_stationary_law_of_its_frozen_step(name: engine.Name, first: float) -> None:
    x = starts(10)[:5000] * VAR**0.5 + MEAN
    with engine.use(name):
        sampler, warm = Adapted(Langevin(25, first), 100).frozen(gaussian, x, rng=stream(6))
        end = sampler(gaussian, warm, rng=stream(7))
    assert isinstance(sampler, Langevin)
    size = sampler.step_size
    accepted = torch.stack([s.accepted for s in MALA(20, size).path(gaussian, warm, rng=stream(8))][1:]).mean()
    assert abs(float(accepted) - 0.574) < 0.03
    biased = VAR / (1 - size**2 / VAR / 4)
    normal_law(end.flatten(), MEAN, biased)
    for wrong in (Langevin(25, size * 1.1), Langevin(25, size, noise_scale=size * 0.95)):
        with pytest.raises(AssertionError):
            normal_law(wrong(gaussian, warm, rng=stream(7)).flatten(), MEAN, biased)


def test_adapted_is_its_two_parts_and_the_call_uses_both() -> None:
    x, rng = starts(2)[:50], stream(9)
    sampler, warm = Adapted(Langevin(4, 0.2), 30).frozen(gaussian, x, rng=rng)
    wanted = sampler(gaussian, warm, rng=rng)
    assert torch.equal(Adapted(Langevin(4, 0.2), 30)(gaussian, x, rng=stream(9)), wanted)
    with pytest.raises(InputError, match="warmup"):
        Adapted(Langevin(4, 0.2), 0)


def test_wrapped_samplers_are_altered_inside() -> None:
    """What the guard and the tasks do to a sampler reaches the one that runs."""
    for outer in (Adapted(Langevin(4, 0.2, 0.1), 30), Preconditioned(Langevin(4, 0.2, 0.1), SCALE)):
        changed = altered(outer, steps=7, step_size=0.1, noise_scale=0.05)
        assert (changed.steps, changed.step_size, changed.noise_scale) == (7, 0.1, 0.05)
        assert type(changed) is type(outer)
        assert changed.temperature == outer.temperature == pytest.approx(0.25)


# --- where chains begin ----------------------------------------------------------------------------------------------

SLOPE, SIGMA, TILT = 0.9, 0.8, 0.7
POST = 1 + SLOPE**2 / SIGMA**2  # precision of the posterior
N, VISITS, STEPS, DELTA = 40_000, 4, 2, 0.4
X = noise_like(torch.empty(N, 1, dtype=F64), stream(20)) * 2
TARGET = (TILT + SLOPE * X / SIGMA**2) / POST  # its means
SPREAD = 0.6  # of the inference model


class Tilt(nn.Module):
    """f(z) = t·z."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1), nn.Flatten(0))
        with torch.no_grad():
            self.layers[0].weight.copy_(torch.tensor([[2.0], [-1.0]]))
            self.layers[1].weight.fill_(TILT)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Guess(nn.Module):
    """q(z|x) = N(x, s²)."""

    def forward(self, x: Tensor) -> Normal:
        return Normal(x, SPREAD)


def linear_model(**options) -> LatentPrior:
    g = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        g.weight.fill_(SLOPE)
    sampler = Langevin(STEPS, DELTA)
    reference = StandardNormal(1).double()
    made = {k: option(reference) for k, option in options.items()}
    prior, generator = EBM(Tilt(), reference).double(), GaussianGenerator(g, SIGMA).double()
    return LatentPrior(prior, generator, prior_sampler=sampler, posterior_sampler=sampler, **made)


def last(reference: StandardNormal) -> FromLast:
    return FromLast(N, reference, rng=stream(21))


def visits(model: LatentPrior, batches: int = 2, shift: int = 0) -> Tensor:
    """z⁺ of every example in its last of VISITS visits, in the order of X; examples come in another order each time."""
    z = torch.empty(N, 1, dtype=F64)
    for k in range(VISITS):
        for part in torch.randperm(N, generator=stream(22, 0, k)).chunk(batches):
            index = (part + shift * k) % N
            z[part] = model.synthesize(Batch(X[part], index=index), rng=stream(23, int(part[0]), k))[1]
    return z


def carried(steps: int, start: Tensor | float, var: float) -> tuple[Tensor, float]:
    """Means and variance of posterior chains after so many steps."""
    a, mean = 1 - DELTA**2 * POST / 2, start
    for _ in range(steps):
        mean, var = TARGET + a * (mean - TARGET), a * a * var + DELTA**2
    return mean, var  # type: ignore[return-value]


KINDS = ("eager", "traced", "in C++", "graph", pytest.param("compiled", marks=pytest.mark.slow))


def using(kind: str):
    return engine.use("traced" if kind == "in C++" else kind, fused=kind == "in C++", say=lambda text: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_visits_of_an_example_are_one_long_run(kind: str) -> None:
    with using(kind):
        z = visits(linear_model(posterior_start=last))
    mean, var = carried(VISITS * STEPS, 0.0, 1.0)
    normal_law((z - mean).flatten(), 0.0, var)


@pytest.mark.parametrize("wrong", ["from p_0", "of another example", "a visit too few"])
def test_visits_negative_controls(wrong: str) -> None:
    model = linear_model(posterior_start=FromNoise if wrong == "from p_0" else last)
    z = visits(model, shift=wrong == "of another example")
    mean, var = carried((VISITS - (wrong == "a visit too few")) * STEPS, 0.0, 1.0)
    with pytest.raises(AssertionError):
        normal_law((z - mean).flatten(), 0.0, var)


@pytest.mark.parametrize("kind", KINDS)
def test_chains_from_an_inference_model_have_its_law_carried_on(kind: str) -> None:
    model = linear_model(inference=lambda reference: Guess())
    with using(kind):
        z = model.sample_posterior(X, rng=stream(24))
    mean, var = carried(STEPS, X, SPREAD**2)
    normal_law((z - mean).flatten(), 0.0, var)
    with pytest.raises(AssertionError):
        normal_law((linear_model().sample_posterior(X, rng=stream(24)) - mean).flatten(), 0.0, var)


def test_the_inference_model_learns_where_its_chains_end() -> None:
    """−E log q has no gradient at the moments of z⁺, and one elsewhere; no other player's loss knows of q."""
    net = nn.Linear(1, 2).double()
    with torch.no_grad():
        net.weight.zero_(), net.bias.zero_()
    model = linear_model(inference=lambda reference: GaussianInference(net))
    batch = Batch(X[:1].expand(20_000, 1))
    with torch.no_grad():
        z = model.synthesize(batch, rng=stream(25))[1]

    def gradient(mean: float, var: float) -> Tensor:
        real = model.sample_posterior
        model.sample_posterior = lambda *a, **k: z  # type: ignore[method-assign]
        with torch.no_grad():
            net.bias.copy_(torch.tensor([mean, math.log(var)]))
        losses = model.losses(batch, rng=stream(26))
        model.sample_posterior = real  # type: ignore[method-assign]
        assert set(losses) == {"prior", "generator", "inference"}
        return torch.autograd.grad(losses["inference"], net.bias)[0]

    at = float(z.mean()), float(z.var(correction=0))
    assert gradient(*at).abs().max() < 1e-6
    assert gradient(at[0] + 0.1, at[1]).abs().max() > 1e-2
    assert gradient(at[0], 1.2 * at[1]).abs().max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_persistent_prior_chains_go_on_and_samples_begin_afresh(kind: str) -> None:
    with using(kind):
        model = linear_model(prior_start=lambda reference: Persistent(N, reference, rng=stream(27)))
        for k in range(VISITS):
            z = model.synthesize(Batch(X), rng=stream(28, 0, k))[0]
        fresh = model.sample_prior(N, rng=stream(29))

    def law(steps: int) -> tuple[float, float]:
        a, mean, var = 1 - DELTA**2 / 2, 0.0, 1.0
        for _ in range(steps):
            mean, var = TILT + a * (mean - TILT), a * a * var + DELTA**2
        return mean, var

    normal_law(z.flatten(), *law(VISITS * STEPS))
    normal_law(fresh.flatten(), *law(STEPS))
    with pytest.raises(AssertionError):
        normal_law(fresh.flatten(), *law(VISITS * STEPS))


def test_unknown_examples_begin_at_the_reference_and_leave_the_memory_alone() -> None:
    model = linear_model(posterior_start=last)
    before = model.posterior_start.chains.clone()  # type: ignore[union-attr]
    first = model.sample_posterior(X, rng=stream(30))
    assert torch.equal(model.posterior_start.chains, before)  # type: ignore[union-attr]
    assert torch.equal(first, linear_model().sample_posterior(X, rng=stream(30)))
    with pytest.raises(InputError, match="as many as the data set has examples"):
        model.sample_posterior(X[:2], index=torch.tensor([0, N]), rng=stream(30))


@pytest.mark.parametrize("start", ["last", "inference"])
def test_runs_with_a_memory_resume_bit_for_bit(start: str, tmp_path) -> None:
    def run(name: str, steps: int) -> dict[str, Tensor]:
        recipe = altered(digits(limit=16), posterior_start=start, prior_start="persistent", shards=2)
        recipe = altered(recipe, steps=steps, threads=0)
        fit(recipe, tmp_path / name, chains="eager")
        state = checkpoint.latest(tmp_path / name, torch.device("cpu"), print)
        assert state is not None
        return state["algorithm"]

    whole = run("whole", 6)
    run("stopped", 3)
    resumed = run("stopped", 6)
    assert all(torch.equal(resumed[k], v) for k, v in whole.items())
    assert ("posterior_start.chains" in whole) == (start == "last")
    if start == "last":
        begun = altered(digits(limit=16), posterior_start="last").algorithm()
        moved = (whole["posterior_start.chains"] != begun.posterior_start.chains).any(1)
        assert moved.all()  # each of 16 examples was visited, in slices too


def test_the_budget_is_the_suites() -> None:
    assert BUDGET == 1e-5
