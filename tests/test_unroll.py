"""The short run as a differentiable map: the sampler's own states, and the right derivatives."""

from __future__ import annotations

import pytest
import torch
from laws import normal_law, same_law
from scipy import stats
from torch import nn

from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks.convnet import conv_f
from absynth.networks.mlp import mlp_f
from absynth.samplers import Langevin
from absynth.samplers.unroll import interpolate_normal, interpolate_uniform, noise_tape, reconstruct, unroll
from absynth.seeding import stream, uniform_like


def small_ebm(seed: int = 0) -> EBM:
    torch.manual_seed(seed)
    return EBM(mlp_f(3, 4, "silu"), StandardNormal(3)).double()


@pytest.mark.parametrize("noise_scale", [None, 0.05, 0.0])
@pytest.mark.parametrize("act", ["silu", "leaky_relu", "gelu"])
def test_states_are_the_samplers_bit_for_bit(noise_scale, act):
    torch.manual_seed(0)
    ebm = EBM(conv_f(1, 8, 4, act), StandardNormal(1, 8, 8))
    x = torch.randn(5, 1, 8, 8)
    move = Langevin(4, 0.3, noise_scale)
    tape = noise_tape(move, x, rng=stream(1))
    chain = move(ebm().log_density, x, rng=stream(1))
    assert torch.equal(unroll(move, ebm().log_density, x.requires_grad_(), tape), chain)
    assert not torch.equal(unroll(move, ebm().log_density, x, tape.flip(0)), chain) or noise_scale == 0.0


def test_derivatives_match_finite_differences(rng):
    """With respect to the start, the noise and the parameters, through three steps."""
    ebm = small_ebm()
    move = Langevin(3, 0.6)
    x = torch.randn(2, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(3, 2, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    parameters = list(ebm.parameters())[:3]  # two weights and a bias: all of them would take seconds

    def end(x, noise, *parameters):
        return unroll(move, ebm().log_density, x, noise, list(parameters))

    assert torch.autograd.gradcheck(end, (x, noise, *parameters), atol=1e-7)


def test_parameters_that_are_not_named_are_constants(rng):
    ebm, move = small_ebm(), Langevin(2, 0.6)
    x = torch.randn(2, 3, generator=rng, dtype=torch.float64)
    noise = noise_tape(move, x, rng=rng)
    assert not unroll(move, ebm().log_density, x, noise).requires_grad
    weight = next(ebm.parameters())
    (found,) = torch.autograd.grad(unroll(move, ebm().log_density, x, noise, [weight]).sum(), weight)
    assert found.abs().sum() > 0


def test_a_score_that_does_not_depend_on_x_passes_the_gradient_on():
    x = torch.ones(2, 3, requires_grad=True)
    move = Langevin(3, 1.0, 0.0)
    end = unroll(move, lambda x: 2 * x.sum(1), x, torch.zeros(3, 2, 3))
    assert torch.equal(end, torch.full((2, 3), 4.0))
    (gradient,) = torch.autograd.grad(end.sum(), x)
    assert torch.equal(gradient, torch.ones(2, 3))


def test_the_noise_must_fit_the_steps():
    with pytest.raises(InputError, match="each of the 3 steps, got 2"):
        unroll(Langevin(3, 1.0), lambda x: x.sum(1), torch.ones(1, 1), torch.zeros(2, 1, 1))


def test_reconstruction_of_a_linear_short_run_is_exact(rng):
    """On N(0, I), M(z) = a^K z + noise: the z that reconstructs x is known."""
    move, K = Langevin(2, 0.6), 2
    x = torch.randn(4, 3, generator=rng)
    noise = noise_tape(move, x, rng=rng)

    def generate(z):
        return unroll(move, StandardNormal(3).log_prob, z, noise)

    zeros = torch.zeros(4, 3)
    z = reconstruct(generate, x, zeros, steps=200, rate=0.3)
    exact = (x - generate(zeros)) / (1 - 0.18) ** K
    assert torch.allclose(z, exact, atol=1e-3)
    assert not z.requires_grad
    # A row's z depends on that row alone.
    fewer = reconstruct(lambda z: unroll(move, StandardNormal(3).log_prob, z, noise[:, :1]), x[:1], zeros[:1], 200, 0.3)
    assert torch.allclose(fewer, z[:1], atol=1e-4)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_interpolated_noise_keeps_its_law(ratio, rng):
    a, b = torch.randn(2, 40_000, 1, generator=rng, dtype=torch.float64)
    normal_law(interpolate_normal(a, b, ratio)[:, 0], 0.0, 1.0)
    u, v = (-1 + 3 * uniform_like(a, rng) for _ in range(2))
    mixed = interpolate_uniform(u, v, ratio, -1.0, 2.0)[:, 0]
    same_law(mixed, stats.uniform(-1, 3).cdf)


def test_a_straight_line_does_not_keep_the_law(rng):
    """The control: a mean of the ends is not N(0, 1)."""
    a, b = torch.randn(2, 40_000, generator=rng, dtype=torch.float64)
    with pytest.raises(AssertionError):
        normal_law(0.5 * a + 0.5 * b, 0.0, 1.0)


def test_interpolation_ends_at_its_ends():
    a, b = torch.tensor([[0.25, -1.0]]), torch.tensor([[0.5, 0.0]])
    assert torch.allclose(interpolate_uniform(a, b, 1.0), a, atol=1e-6)
    assert torch.allclose(interpolate_uniform(a, b, 0.0), b, atol=1e-6)


class Frozen(nn.Module):
    """For the next test: counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return -(self.weight * x**4).sum(1)


def test_the_backward_pass_asks_the_network_again_and_keeps_states_only():
    f, move = Frozen(), Langevin(6, 0.1)
    x = torch.ones(2, 3, requires_grad=True)
    end = unroll(move, f, x, torch.zeros(6, 2, 3))
    assert f.calls == 6
    end.sum().backward()
    assert f.calls == 12
