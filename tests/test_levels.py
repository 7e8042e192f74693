"""Models of several levels: their finest density and chain, and completions through all levels."""

from __future__ import annotations

import pytest
import torch
from laws import normal_law
from test_diffusion_recovery import MEAN, NOISE, VAR, gaussian
from test_multiscale import grid, growing, pictures
from torch import nn

from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.density import restrict, score
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks.time_embedding import LevelMLP
from absynth.samplers import Langevin
from absynth.seeding import stream
from absynth.tasks.super_resolve import coarse, with_means

F64 = torch.float64


def grown() -> CoarseToFine:
    model = growing()
    model.grown.fill_(2)
    return model


@pytest.mark.parametrize("make", [grid, grown])
def test_a_pyramids_finest_chain_draws_as_the_model_does(make):
    model = make()
    chain = model.chain()
    density, origin, sampler = chain.density, chain.start, chain.sampler
    rng = stream(1)
    start = origin.sample(5, rng)
    assert torch.equal(start, start[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2))  # coarser pixels
    x = sampler(density.log_density, start, rng=rng).clamp(-1, 1)
    assert torch.equal(x, model.sample(5, rng=stream(1)))
    with pytest.raises(InputError, match="no density"):
        origin.log_prob(x)


def test_a_model_that_has_not_grown_has_no_finest_density():
    with pytest.raises(InputError, match="has grown to 4 of 16 pixels"):
        growing().chain()
    with pytest.raises(InputError, match="has grown to 4 of 16 pixels"):
        growing().complete(lambda x: x, 2, rng=stream(1))


def test_a_ladders_finest_density_is_that_of_the_data_and_the_lowest_noise():
    """p_0 in the data's units: N(MEAN, VAR + s̄_0²/ᾱ_0²)."""
    model = gaussian()
    chain = model.chain()
    density, origin, sampler = chain.density, chain.start, chain.sampler
    var = VAR + NOISE[0] ** 2 / (1 - NOISE[0] ** 2)
    x = torch.linspace(-2, 3, 7, dtype=F64)[:, None]
    torch.testing.assert_close(score(density.log_density, x), (MEAN - x) / var)
    # The step of the ladder's level 0, seen from the data; exact chains there, so the origin is x_1 in these units.
    assert sampler.step_size == pytest.approx(0.1 * float(model.unit[0] / model.shrink[0] / model.signal[0]))
    start = origin.sample(20_000, stream(2))[:, 0]
    signal, noise = (1 - NOISE[1] ** 2) ** 0.5, NOISE[1]
    a = float(model.shrink[0] * model.signal[0])
    normal_law(start, MEAN * signal / a, (VAR * signal**2 + noise**2) / a**2)


def test_a_ladder_of_one_level_draws_by_its_finest_chain():
    torch.manual_seed(0)
    model = DiffusionRecovery(LevelMLP(2, 8), StandardNormal(2), noise=(0.3,), sampler=Langevin(4, 0.1)).double()
    chain = model.chain()
    density, origin, sampler = chain.density, chain.start, chain.sampler
    rng = stream(1)
    x = sampler(density.log_density, origin.sample(5, rng), rng=rng)
    torch.testing.assert_close(x, model.sample(5, rng=stream(1)))


class Plane(nn.Module):
    """F of a ladder on N(mean, cov) in the plane, all levels exact; f = s_t² F."""

    def __init__(self, model: DiffusionRecovery, mean: torch.Tensor, cov: torch.Tensor) -> None:
        super().__init__()
        a, s = model.shrink * model.signal, model.shrink * model.noise
        self.mean = a[:, None] * mean
        self.precision = torch.linalg.inv(a[:, None, None] ** 2 * cov + s[:, None, None] ** 2 * torch.eye(2, dtype=F64))
        self.steps = model.unit * model.sampler.step_size

    def forward(self, y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        d = y - self.mean[t]
        f = -0.5 * torch.einsum("bi,bij,bj->b", d, self.precision[t], d) + 0.5 * y.square().sum(1)
        return self.steps[t] ** 2 * f


def test_a_ladder_completes_a_gaussian_by_its_conditional_law():
    """x_2 given x_1 = y under p_0, with a last chain that is long; Langevin's own inflation is 1/(1 − δ²P/4)."""
    mean, cov = torch.tensor([0.3, -0.2], dtype=F64), torch.tensor([[0.5, 0.35], [0.35, 0.5]], dtype=F64)
    model = DiffusionRecovery(nn.Identity(), StandardNormal(2), noise=(0.3, 0.9), sampler=Langevin(20, 0.3)).double()
    model.ebm.f.net = Plane(model, mean, cov)
    n, y = 3000, 1.0
    fill = restrict(lambda v: v.sum(1), torch.tensor([[True, False]]), torch.full((n, 2), y, dtype=F64)).fill
    cov = cov + float(model.noise[0] / model.signal[0]) ** 2 * torch.eye(2, dtype=F64)
    slope = float(cov[0, 1] / cov[0, 0])
    wanted, var = float(mean[1]) + slope * (y - float(mean[0])), float(cov[1, 1]) - slope * float(cov[0, 1])
    delta = model.chain().sampler.step_size
    x = model.complete(fill, n, steps=200, rng=stream(3))
    assert (x[:, 0] == y).all()
    normal_law(x[:, 1], wanted, var / (1 - delta**2 / var / 4))
    alone = model.sample(n, rng=stream(3))[:, 1]
    with pytest.raises(AssertionError):  # control: chains that were told nothing
        normal_law(alone, wanted, var / (1 - delta**2 / var / 4))
    # The ladder alone, with hardly a chain after it, is much nearer already.
    short = model.complete(fill, n, steps=1, rng=stream(3))[:, 1]
    assert abs(float(short.mean()) - wanted) < 0.3 * abs(float(alone.mean()) - wanted)


@pytest.mark.parametrize("make", [grid, grown])
def test_a_pyramid_completes_what_was_seen(make):
    model, x = make(), pictures(5)
    known = torch.ones(1, 16, 16, dtype=torch.bool)
    known[:, 4:12, 4:12] = False
    fill = restrict(lambda v: v.sum(1), known, x).fill
    found = model.complete(fill, 5, rng=stream(1))
    assert torch.equal(found[:, known], x[:, known])
    inside = found[:, ~known]
    assert (inside != x[:, ~known]).all()
    # What the hole hides is never looked at; what is seen outside changes what is drawn inside.
    other = restrict(lambda v: v.sum(1), known, torch.where(known, x, 7.0)).fill
    assert torch.equal(model.complete(other, 5, rng=stream(1)), found)
    moved = restrict(lambda v: v.sum(1), known, -x).fill
    assert not torch.equal(model.complete(moved, 5, rng=stream(1))[:, ~known], inside)
    y = coarse(x, 4)
    torch.testing.assert_close(coarse(model.complete(with_means(y, 4), 5, rng=stream(1)), 4), y)
