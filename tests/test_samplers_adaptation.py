"""Warm-up: step sizes of every chain, mass matrices, and what is frozen after it."""

from __future__ import annotations

import pytest
import torch
from laws import covariance_is, mean_is
from torch import Tensor

from absynth.errors import InputError
from absynth.samplers import HMC, MALA, NUTS, Mass, Preconditioned
from absynth.samplers.dual_averaging import DualAveraging
from absynth.samplers.mass import learn
from absynth.samplers.multiscale import FadingLangevin
from absynth.samplers.ramped import RampedLangevin
from absynth.samplers.warmup import windows
from absynth.seeding import noise_like, stream

F64 = torch.float64
SAMPLERS = [MALA(60, 0.3, warmup=150), HMC(40, 0.3, leapfrog_steps=4, warmup=100), NUTS(10, 0.3, warmup=60)]


def covariance(d: int, condition: float, seed: int) -> Tensor:
    """A covariance in a random basis, eigenvalues 1 to 1 / condition."""
    rng = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=F64))[0]
    return basis * torch.logspace(0, -torch.tensor(condition).log10(), d, dtype=F64) @ basis.T


def normal(covariance: Tensor):
    precision = torch.linalg.inv(covariance)
    return lambda x: -0.5 * ((x @ precision) * x).sum(1)


class Rows:
    """Chains whose targets differ in width: N(0, width²), one row each."""

    def __init__(self, chains: int) -> None:
        self.width = torch.logspace(-3, 1, chains, dtype=F64)[:, None]

    def __call__(self, x: Tensor) -> Tensor:
        return -0.5 * ((x / self.width) ** 2).sum(1)


# --- step sizes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [MALA(100, 0.3, 150, mass="unit"), HMC(80, 0.3, 4, 150, mass="unit")], ids=repr)
def test_every_chain_finds_its_own_step_and_none_is_stuck(sampler):
    target = Rows(40)
    states = list(sampler.path(target, torch.ones(40, 3, dtype=F64), rng=stream(1)))[151:]
    rate = torch.stack([s.accepted for s in states]).mean(0)
    assert rate.min() > 0.3
    assert abs(float(rate.mean()) - sampler.target_accept) < 0.05
    ratio = states[0].step_size / target.width[:, 0]
    assert ratio.max() / ratio.min() < 5  # widths differ by 10⁴


def test_one_step_for_all_leaves_chains_stuck(monkeypatch):
    """The negative control: the rule that was here before adapts to the mean acceptance over chains."""
    own = DualAveraging.update
    monkeypatch.setattr(DualAveraging, "update", lambda self, a, rows=None: own(self, a.mean().expand(len(a)), rows))
    states = list(HMC(80, 0.3, 4, 150, mass="unit").path(Rows(40), torch.ones(40, 3, dtype=F64), rng=stream(1)))[151:]
    assert torch.stack([s.accepted for s in states]).mean(0).min() < 0.3


def test_dual_averaging_keeps_the_average_and_not_the_last_try():
    averaging, rng = DualAveraging(torch.full((200,), 0.5, dtype=F64), 0.8), stream(2)
    for _ in range(300):
        noise = 0.2 * noise_like(averaging.step_size, rng)
        averaging.update((1.2 - 0.4 * averaging.step_size + noise).clamp(0, 1))  # 0.8 at a step size of 1
    error = (averaging.frozen.log()).square().mean().sqrt(), averaging.step_size.log().square().mean().sqrt()
    assert error[0] < 0.2
    assert error[0] < 0.5 * error[1]


def test_rows_that_did_not_move_do_not_adapt():
    averaging = DualAveraging(torch.ones(3, dtype=F64), 0.8)
    averaging.update(torch.tensor([0.1, 0.9, 0.5], dtype=F64), torch.tensor([True, False, True]))
    assert averaging.count.tolist() == [1, 0, 1]
    assert averaging.step_size[1] == 1
    assert averaging.frozen[1] == 1
    assert averaging.step_size[0] < averaging.step_size[2]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_after_the_warm_up_everything_is_frozen(sampler):
    states = list(sampler.path(normal(covariance(3, 100, 0)), torch.ones(20, 3, dtype=F64), rng=stream(3)))
    assert len(states) == sampler.warmup + sampler.steps + 1
    sizes = [s.step_size for s in states[sampler.warmup :]]
    assert all(torch.equal(s, sizes[0]) for s in sizes)
    assert not torch.equal(states[sampler.warmup - 1].step_size, sizes[0])


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_tuned_is_the_warm_up_of_the_path(sampler):
    target, x = normal(covariance(3, 100, 0)), torch.ones(20, 3, dtype=F64)
    rng = stream(3)
    tuned, warm = sampler.tuned(target, x, rng=rng)
    assert tuned.warmup == 0
    assert isinstance(tuned.mass, Mass)
    torch.testing.assert_close(tuned(target, warm, rng=rng), sampler(target, x, rng=stream(3)))


@pytest.mark.parametrize("sampler", [*SAMPLERS[:2], pytest.param(SAMPLERS[2], marks=pytest.mark.slow)], ids=repr)
def test_the_law_after_a_warm_up_is_exact(sampler):
    sigma, chains = covariance(4, 1e4, 1), 1500 if isinstance(sampler, NUTS) else 4000
    x = sampler(normal(sigma), 4 * torch.rand(chains, 4, generator=stream(4), dtype=F64) - 2, rng=stream(5))
    covariance_is(x, sigma)
    mean_is(x, 0.0)


def test_numbers_out_of_range():
    x = torch.ones(3, 2, dtype=F64)
    for sampler in (HMC(1, 0.0), HMC(1, 0.1, warmup=-1), NUTS(1, torch.tensor([0.1, -0.1, 0.1]))):
        with pytest.raises(InputError, match="must be"):
            sampler(normal(torch.eye(2, dtype=F64)), x, rng=stream(0))
    with pytest.raises((InputError, TypeError), match="full"):  # a TypeError where types are checked
        HMC(1, 0.1, warmup=50, mass="full")(normal(torch.eye(2, dtype=F64)), x, rng=stream(0))
    for depth in (0, 21):
        with pytest.raises(InputError, match=f"max_depth must be 1 to 20, got {depth}"):
            NUTS(1, max_depth=depth)
    assert [NUTS(1, max_depth=depth).max_depth for depth in (1, 20)] == [1, 20]


# --- mass matrices -------------------------------------------------------------------------------------------------


def test_windows_double_and_leave_time_for_steps():
    for warmup in (40, 100, 333, 1000, 5000):
        ends = windows(warmup)
        assert ends == sorted(set(ends))
        assert ends[-1] <= warmup - 20
        assert ends[0] == 10
    assert windows(39) == []


def test_the_mass_of_a_gaussian_is_exact_before_chains_have_converged():
    """States from another law: scores carry what is missing, so L Lᵀ is the covariance all the same."""
    sigma = covariance(6, 1e4, 2)
    x = 4 * torch.rand(500, 8, 6, generator=stream(6), dtype=F64) - 2  # uniform, nothing like the target
    score = -x @ torch.linalg.inv(sigma)
    factor = learn("dense", x, score).factor
    whitened = torch.linalg.solve(factor, torch.linalg.solve(factor, sigma).T)
    values = torch.linalg.eigvalsh(whitened)
    assert values.min() > 0.8
    assert values.max() < 1.25
    scale = learn("diagonal", x, score).scale
    torch.testing.assert_close(scale, (x.flatten(0, 1).var(0) / score.flatten(0, 1).var(0)) ** 0.25, rtol=0.01, atol=0)


def test_the_mass_follows_a_change_of_units():
    sigma, units = covariance(5, 100, 3), torch.logspace(-3, 3, 5, dtype=F64)
    x = torch.randn(60, 4, 5, generator=stream(7), dtype=F64) @ torch.linalg.cholesky(sigma).T
    score = -x @ torch.linalg.inv(sigma)
    plain, scaled = learn("dense", x, score), learn("dense", x * units, score / units)
    torch.testing.assert_close(scaled.factor, units[:, None] * plain.factor)


def test_push_and_pull_are_transposes():
    """p·pull(s) = push(p)·s for every mass: forces and velocities belong to one change of coordinates."""
    p, s = torch.randn(2, 7, 2, 3, generator=stream(8), dtype=F64)
    factor = torch.randn(6, 6, generator=stream(9), dtype=F64)
    for mass in (Mass(), Mass(scale=torch.rand(2, 3, generator=stream(1), dtype=F64) + 0.1), Mass(factor=factor)):
        torch.testing.assert_close((p * mass.pull(s)).sum((1, 2)), (mass.push(p) * s).sum((1, 2)))


@pytest.mark.parametrize(
    "mass", ["unit", *(pytest.param(mass, marks=pytest.mark.slow) for mass in ("diagonal", "dense"))]
)
def test_every_mass_samples_the_same_law(mass):
    sigma = covariance(3, 30, 4)
    for sampler in (MALA(60, 0.3, 100, mass=mass), HMC(15, 0.2, 6, 80, mass=mass), NUTS(6, 0.2, 50, mass=mass)):
        chains = 1000 if isinstance(sampler, NUTS) else 4000
        x = sampler(normal(sigma), torch.randn(chains, 3, generator=stream(1), dtype=F64), rng=stream(2))
        covariance_is(x, sigma)


def test_an_entry_that_never_moves_gets_the_usual_width():
    x = torch.randn(50, 4, 3, generator=stream(3), dtype=F64)
    x[..., 1] = 2.0
    score = -x / 9
    assert torch.allclose(learn("diagonal", x, score).scale, torch.full((3,), 3.0, dtype=F64), rtol=1e-6)
    assert learn("dense", x, score).factor.isfinite().all()


def test_a_direction_without_curvature_gets_the_usual_width():
    """A linear log density along the last coordinate: states wander, scores are constant and know no width."""
    x = torch.randn(50, 4, 2, generator=stream(3), dtype=F64)
    x[..., 1] = 1e9 * torch.arange(50.0)[:, None] * torch.arange(1.0, 5.0)
    score = torch.stack([-x[..., 0] / 9, torch.ones(50, 4, dtype=F64)], -1)
    assert torch.allclose(learn("diagonal", x, score).scale, torch.full((2,), 3.0, dtype=F64), rtol=1e-6)
    factor = learn("dense", x, score).factor
    assert torch.allclose(factor, 3 * torch.eye(2, dtype=F64), rtol=1e-6)
    assert torch.equal(learn("dense", x[..., 1:], score[..., 1:]).factor, torch.eye(1, dtype=F64))


def test_widths_too_far_apart_for_float64_end_in_the_last_usable_mass():
    """log p = −½ (Σ x)²: the scores have rank one, and states drift along the other directions without end."""
    drift = 1e14 * torch.randn(900, 4, 3, generator=stream(4), dtype=F64)
    x = torch.randn(900, 4, 3, generator=stream(5), dtype=F64) + drift - drift.mean(-1, keepdim=True)
    score = -x.sum(-1, keepdim=True).expand_as(x)
    assert learn("dense", x, score).factor.isfinite().all()


@pytest.mark.parametrize("scale", [torch.ones(3), torch.tensor([1.0, 0.0]), torch.tensor([1.0, -2.0])], ids=str)
def test_a_scale_that_does_not_fit_is_refused_in_one_line(scale):
    sampler = Preconditioned(MALA(1, 0.5), scale)
    with pytest.raises(InputError, match=r"scale must be positive and have shape \[2\], got \["):
        sampler(lambda x: -(x**2).sum(1), torch.zeros(4, 2), rng=stream(1))


@pytest.mark.parametrize("options", [{"steps": -1}, {"step_size": -1.0}, {"noise_scale": float("nan")}], ids=str)
def test_numbers_of_langevin_samplers_with_a_schedule_are_refused_too(options):
    with pytest.raises(InputError, match=f"{next(iter(options))} must be"):
        FadingLangevin(**({"steps": 3, "step_size": 0.1, "noise_scale": 0.1} | options))
    if "noise_scale" not in options:
        with pytest.raises(InputError, match=f"{next(iter(options))} must be"):
            RampedLangevin(**({"steps": 3, "step_size": 0.1} | options))
