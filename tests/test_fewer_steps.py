"""The options that need fewer steps: each against its exact law, with negative controls, under eager and planned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from laws import covariance_is, mean_is, normal_law
from torch import Tensor

from absynth.density import score
from absynth.distributions import sum_event
from absynth.samplers import MALA, Langevin, engine
from absynth.samplers.preconditioned import Preconditioned, width_of
from absynth.samplers.underdamped import Underdamped
from absynth.seeding import noise_like, stream

F64 = torch.float64
MEAN, VAR, MEAN_0, VAR_0 = 1.5, 0.8, -2.0, 0.3
CHAINS = 50_000
ENGINES = ("eager", "planned")


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
        with engine.use("planned", say=said.append):
            got = sampler(badly_scaled, x, rng=stream(5))
        assert not said
        assert (got - wanted).abs().max() < 1e-12
    assert score(badly_scaled, x).shape == x.shape
