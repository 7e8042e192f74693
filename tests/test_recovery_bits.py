"""The code length of a sequence of noise levels against closed forms."""

from __future__ import annotations

import math

import torch
from torch import nn

from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.distributions import Normal, StandardNormal
from absynth.experiments import recovery_bits
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream


class Linear(nn.Module):
    """f(y, t) = slope Σ y at every level."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, y, t):
        return self.slope * y.flatten(1).sum(1)


def model(slope: float, noise: tuple[float, ...]) -> DiffusionRecovery:
    return DiffusionRecovery(Linear(slope), StandardNormal(1, 3, 3), noise=noise, sampler=Langevin(1, 1.0))


def test_a_conditional_of_a_linear_energy_is_a_gaussian_with_another_mean(monkeypatch):
    """exp(F) N(y; m, v) with F = c Σ y is N(y; m + v c, v)."""
    monkeypatch.setattr(recovery_bits, "CHAINS", 64)
    tilted = model(0.5, (0.2, 0.9))
    y, x_next = (noise_like(torch.empty(3, 1, 3, 3), stream(seed)) for seed in (1, 2))
    v = 1 / (1 + float(tilted.precision[0]))
    slope = 0.5 / float(tilted.unit[0]) ** 2  # F = f / s²
    exact = Normal(v * float(tilted.precision[0]) * x_next + v * slope, math.sqrt(v)).log_prob(y)
    small, large = recovery_bits.log_conditional(tilted, y, x_next, 0, rng=stream(3))
    torch.testing.assert_close(small, exact, atol=0.2, rtol=0)
    torch.testing.assert_close(large, exact, atol=0.2, rtol=0)


def test_one_level_without_an_energy_is_its_reference(monkeypatch):
    """log p(x) = log N(ᾱ x; 0, I) + d log ᾱ."""
    flat = model(0.0, (0.6,))
    x = noise_like(torch.empty(4, 1, 3, 3), stream(1))
    exact = StandardNormal(1, 3, 3).log_prob(0.8 * x) + 9 * math.log(0.8)
    for found in recovery_bits.log_likelihood(flat, x, rng=stream(2)):
        torch.testing.assert_close(found, exact)


def test_levels_without_energies_are_a_chain_of_gaussians():
    """The bound of two levels, term by term along the path that the noise of the first call draws."""
    flat = model(0.0, (0.3, 0.9))
    x = noise_like(torch.empty(5, 1, 3, 3), stream(1))
    a, width = float(flat.shrink[0]), float(flat.width[0])
    x_0 = flat.signal[0] * x
    x_1 = a * x_0 + width * noise_like(x, stream(7))
    v = 1 / (1 + width**-2)
    exact = Normal(v / width**2 * x_1, math.sqrt(v)).log_prob(a * x_0) + StandardNormal(1, 3, 3).log_prob(x_1)
    exact += 9 * (math.log(a) + float(flat.signal[0].log())) - Normal(a * x_0, width).log_prob(x_1)
    torch.testing.assert_close(recovery_bits.log_likelihood(flat, x, rng=stream(7))[0], exact, atol=1e-4, rtol=1e-4)
