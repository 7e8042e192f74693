"""Diffusion recovery likelihood: the noise schedules' numbers, the chains' arithmetic, exact laws on a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from laws import mean_is, normal_law
from torch import nn

from absynth import recipes
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.data import sets
from absynth.density import score
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks.time_embedding import LevelConv, LevelEmbedding, LevelMLP
from absynth.samplers import Langevin
from absynth.samplers.noise_levels import ddpm_noise, log_snr_noise, log_spaced_noise
from absynth.seeding import noise_like, stream
from absynth.types import Batch

F64 = torch.float64
MEAN, VAR = 0.7, 0.3
NOISE = log_spaced_noise(0.2, 0.9, 3)


class Quadratic(nn.Module):
    """f(y, t) such that F = f / s_t² is b_t y − d_t y² / 2."""

    def __init__(self, b: torch.Tensor, d: torch.Tensor, steps: torch.Tensor) -> None:
        super().__init__()
        self.b, self.d = nn.Parameter(b), nn.Parameter(d)
        self.steps = steps

    def forward(self, y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.steps[t] ** 2 * (self.b[t] * y[:, 0] - 0.5 * self.d[t] * y[:, 0] ** 2)


def test_a_narrow_schedule_is_the_deviation_of_y_where_all_data_agree():
    """Given x_{t+1}, of data that are one point; and the schedule whose levels all add the same share of noise."""
    noise = log_snr_noise(0.05, 0.96, 6)
    model = DiffusionRecovery(
        LevelMLP(1, 8), StandardNormal(1), noise=noise, sampler=Langevin(1, 0.5), step_schedule="narrow"
    ).double()
    t = torch.arange(5).repeat_interleave(40_000)
    y, x_next = model.diffuse(torch.full((len(t), 1), 0.3, dtype=F64), t, rng=stream(3))
    for level in range(5):
        pair = torch.cov(torch.cat([y, x_next], 1)[t == level].T)
        left = (pair[0, 0] - pair[0, 1] ** 2 / pair[1, 1]).sqrt()
        assert float(left) == pytest.approx(float(model.unit[level]), rel=0.02)
    assert float(model.unit[5]) == pytest.approx(0.96)
    ratios = model.noise / model.signal
    assert torch.allclose(ratios[1:] / ratios[:-1], ratios[1] / ratios[0], rtol=1e-5)


@dataclass(frozen=True)
class Exact(Langevin):
    """Draws from a one-dimensional Gaussian log density, whatever its start: a chain of infinite length."""

    def __call__(self, log_density, x, *, rng):
        at_zero = score(log_density, torch.zeros_like(x))
        precision = at_zero - score(log_density, torch.ones_like(x))
        return at_zero / precision + noise_like(x, rng) / precision.sqrt()


def gaussian(shift: float = 0.0) -> DiffusionRecovery:
    """The noise levels on N(MEAN, VAR), its F exact where ``shift`` is 0, its chains exact."""
    model = DiffusionRecovery(nn.Identity(), StandardNormal(1), noise=NOISE, sampler=Exact(1, 0.1)).double()  # type: ignore[arg-type]
    mean = model.shrink * model.signal * MEAN
    var = model.shrink**2 * (model.signal**2 * VAR + model.noise**2)
    # N(mean, var) ∝ exp(F) N(0, 1)
    model.ebm.f.net = Quadratic(mean / var + shift, 1 / var - 1, model.unit * 0.1)  # type: ignore[union-attr]
    return model


def test_the_papers_t6_schedule():
    model = DiffusionRecovery(
        LevelMLP(2, 8), StandardNormal(2), noise=ddpm_noise(range(0, 600, 100)), sampler=Langevin(30, 2e-4**0.5),
        step_schedule="growing",
    )  # fmt: skip

    def near(values, expected):
        assert torch.allclose(values, torch.tensor(expected, dtype=values.dtype), atol=6e-5, rtol=2e-3)

    # The authors' numbers; their last a and σ (0.0228, 0.9997) are taken as 1.
    near(model.shrink, [0.9462, 0.8563, 0.7748, 0.7009, 0.6340, 1.0])
    near(model.width, [0.3237, 0.5165, 0.6322, 0.7132, 0.7734, 1.0])
    near(model.ebm.f.steps, [0.00458, 0.0416, 0.0685, 0.0890, 0.1036, 0.1386])
    near(model.width[0] / model.width[:5], [1.0, 0.627, 0.512, 0.454, 0.419])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_diffusion_has_the_laws_of_the_forward_process(level):
    model, n = gaussian(), 50_000
    x = MEAN + VAR**0.5 * noise_like(torch.empty(n, 1, dtype=F64), stream(1))
    y, x_next = model.diffuse(x, torch.full((n,), level), rng=stream(2))
    signal, noise, shrink = (float(v[level]) for v in (model.signal, model.noise, model.shrink))
    normal_law(y[:, 0], shrink * signal * MEAN, shrink**2 * (signal**2 * VAR + noise**2))
    if level < 2:
        normal_law((x_next - y)[:, 0], 0.0, 1 - shrink**2)
        next_signal, next_noise = float(model.signal[level + 1]), float(model.noise[level + 1])
        normal_law(x_next[:, 0], next_signal * MEAN, next_signal**2 * VAR + next_noise**2)
    else:
        normal_law(x_next[:, 0], 0.0, 1.0)
        mean_is((x_next * (y - y.mean()))[:, 0], 0.0)  # apart from y


def test_chains_in_units_of_their_step_are_the_papers_to_the_letter():
    steps, b = 4, 0.13
    torch.manual_seed(0)
    model = DiffusionRecovery(
        LevelMLP(2, 8), StandardNormal(2), noise=NOISE, sampler=Langevin(steps, b), step_schedule="growing"
    ).double()
    t, x_next = torch.tensor([0, 1, 2, 0]), noise_like(torch.empty(4, 2, dtype=F64), stream(3))
    found = model.synthesize(x_next, t, rng=stream(4))
    y, rng, s = x_next, stream(4), (b * model.unit[t])[:, None]
    last = (t == 2)[:, None]
    for _ in range(steps):
        noise = noise_like(y, rng)
        net = score(lambda v: model.ebm.f.net(v, t), y)  # type: ignore[union-attr]
        pull = torch.where(last, 0.0, (x_next - y) / model.width[t][:, None] ** 2)
        y = y + 0.5 * net + 0.5 * s**2 * (pull - y) + s * noise
    assert torch.allclose(found, y, rtol=1e-5, atol=1e-6)  # the table of levels is float32
    assert not torch.allclose(found, x_next, atol=1e-3)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_gradient_is_that_of_the_recovery_likelihood(shift):
    model, n = gaussian(shift), 60_000
    x = MEAN + VAR**0.5 * noise_like(torch.empty(n, 1, dtype=F64), stream(5))
    model.losses(Batch(x), rng=stream(6))["ebm"].backward()
    b_gradient = model.ebm.f.net.b.grad  # type: ignore[union-attr]
    # ∂/∂b_t of the weighted log p(y | x_{t+1}) is w_t E[y − E_model(y | x_{t+1})], each level a third of the batch.
    net = model.ebm.f.net  # type: ignore[union-attr]
    precision = 1 + net.d.detach() + model.precision
    mean = model.shrink * model.signal * MEAN
    x_mean = torch.where(model.precision > 0, mean, 0.0)
    expected = mean - (net.b.detach() + model.precision * x_mean) / precision
    weight = (0.1 * model.unit) ** 2 * model.width[0] / model.width
    standard = weight / 3 * (2 / (n / 3)) ** 0.5
    assert ((-b_gradient - weight * expected / 3).abs() < 5 * standard).all()
    if shift:
        assert (b_gradient > 5 * standard).all()  # and so the test can fail


def test_sampling_down_the_levels_with_exact_chains_gives_the_data():
    model = gaussian()
    x = model.sample(50_000, rng=stream(7))[:, 0]
    normal_law(x, MEAN, VAR + float(model.noise[0] / model.signal[0]) ** 2)


def test_a_wrong_level_shows_in_the_samples():
    model = gaussian()
    with torch.no_grad():
        model.ebm.f.net.b[1] += 0.3  # type: ignore[union-attr]
    with pytest.raises(AssertionError):
        normal_law(model.sample(50_000, rng=stream(7))[:, 0], MEAN, VAR + float(model.noise[0] / model.signal[0]) ** 2)


def test_one_level_is_a_short_run_from_noise():
    torch.manual_seed(0)
    model = DiffusionRecovery(LevelMLP(2, 8), StandardNormal(2), noise=[0.05], sampler=Langevin(5, 0.1))
    x = model.sample(10, rng=stream(8))
    first = StandardNormal(2).sample(10, stream(8))
    assert torch.equal(model.chains["ebm"].start, first)
    assert float(model.precision) == 0
    assert x.shape == (10, 2)


def test_bad_noise_schedules_are_refused():
    for noise in ([], [0.0, 0.5], [0.5, 0.4], [0.5, 1.0]):
        with pytest.raises(InputError, match="noise must rise"):
            DiffusionRecovery(LevelMLP(2, 8), StandardNormal(2), noise=noise, sampler=Langevin(1, 0.1))
    with pytest.raises(InputError, match="0 < low < high < 1"):
        log_spaced_noise(0.5, 0.1, 3)


def test_levels_are_told_apart_and_examples_are_not_mixed(rng):
    torch.manual_seed(0)
    for net, x in ((LevelMLP(3, 8), torch.randn(6, 3)), (LevelConv(1, 8, 4), torch.randn(6, 1, 8, 8))):
        t = torch.tensor([0, 1, 2, 3, 4, 5])
        together = net(x, t)
        alone = torch.cat([net(x[i : i + 1], t[i : i + 1]) for i in range(6)])
        assert torch.allclose(together, alone, atol=1e-6)
        assert (net(x, t + 1) - together).abs().min() > 1e-7
    far = LevelEmbedding(16, slowest=1000.0)(torch.arange(1000))
    assert torch.cdist(far, far).fill_diagonal_(1).min() > 0.01


def test_noise_schedules_of_the_recipe():
    cls = recipes.classes("diffusion_recovery")["image"]
    images = sets.open("digits")
    assert cls(dataset=images).noise() == ddpm_noise(range(0, 600, 100))
    assert len(cls(dataset=images, levels=1000).noise()) == 1000
    spaced = cls(dataset=images, noise_schedule="log_snr", levels=12, highest=0.96)
    assert spaced.noise() == log_snr_noise(0.05, 0.96, 12)
    assert spaced.schedule(0) == pytest.approx(1e-3)  # warm-up
    assert spaced.schedule(5000) == 1
