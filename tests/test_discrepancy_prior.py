"""The prior that learns by energy discrepancy: the law it learns, and that it runs no chain on the prior."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from absynth.algorithms import discrepancy_prior
from absynth.algorithms.discrepancy_prior import DiscrepancyPrior
from absynth.algorithms.perturbations import GaussianNoise
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal, Uniform
from absynth.errors import InputError
from absynth.networks.mlp import mlp
from absynth.references import FollowedNormal
from absynth.seeding import noise_like, stream
from absynth.types import Batch
from absynth.updates import update

MEAN, STD = 1.5, 0.6


@dataclass(frozen=True)
class Draws:
    """A posterior whose draws are N(MEAN, STD²) whatever x is."""

    def __call__(self, log_density, x, *, rng):
        return MEAN + STD * noise_like(x, rng)


@dataclass(frozen=True)
class Never:
    """A sampler that must not run."""

    def __call__(self, log_density, x, *, rng):
        raise AssertionError("the prior's chain ran")


class QuadraticF(nn.Module):
    """a z − b z²/2."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def forward(self, z):
        return (self.a * z - 0.5 * self.b * z**2).sum(1)


def model(inference: bool = False, contrasts: int = 8) -> DiscrepancyPrior:
    return DiscrepancyPrior(
        EBM(QuadraticF(), StandardNormal(1)),
        GaussianGenerator(nn.Linear(1, 3), 0.3),
        prior_sampler=Never(),
        posterior_sampler=Draws(),
        perturb=GaussianNoise(0.3),
        contrasts=contrasts,
        inference=GaussianInference(mlp([3, 4, 2], "silu")) if inference else None,
    )


def test_the_prior_becomes_the_law_of_the_posterior_draws():
    """f + log N(0, 1) is log N(MEAN, STD²) at a = MEAN / STD², b = 1/STD² − 1; a chain's loss is not needed for it."""
    torch.manual_seed(0)
    found, rng = model(), stream(3)
    optimizer = torch.optim.Adam(found.prior.parameters(), 0.05)
    for step in range(1200):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / 1200)
        update(found, {"prior": optimizer}, Batch(torch.zeros(500, 3)), rng=rng)
    a, b = (p.item() for p in found.prior.f.parameters())
    assert abs(a - MEAN / STD**2) < 0.25  # of 4.17
    assert abs(b - (1 / STD**2 - 1)) < 0.15  # of 1.78


def test_a_reference_that_follows_is_the_gaussian_of_the_posterior_draws_in_training_alone():
    """N(MEAN, STD²) is then p_0 itself: what is left for f is 0."""
    found, batch = model(), Batch(torch.zeros(20_000, 3))
    found.prior.reference = FollowedNormal(1)
    found.eval()
    found.losses(batch, rng=stream(0))
    assert not found.prior.reference.seen
    found.train()
    losses = found.losses(batch, rng=stream(0))
    assert abs(float(found.prior.reference.mean) - MEAN) < 0.02
    assert abs(float(found.prior.reference.factor) - STD) < 0.02
    a, b = torch.autograd.grad(losses["prior"], list(found.prior.f.parameters()))
    assert max(abs(a), abs(b)) < 0.01
    plain = model()
    a, b = torch.autograd.grad(plain.losses(batch, rng=stream(0))["prior"], list(plain.prior.f.parameters()))
    assert min(abs(a), abs(b)) > 0.1


@pytest.mark.parametrize("inference", [False, True])
def test_each_player_has_its_loss(inference):
    found = model(inference)
    losses = found.losses(Batch(torch.zeros(6, 3)), rng=stream(0))
    assert set(losses) == {"prior", "generator"} | ({"inference"} if inference else set())
    (gradient,) = torch.autograd.grad(losses["prior"], found.generator.net.weight, allow_unused=True)
    assert gradient is None


def test_every_loss_is_a_mean_over_the_batch(monkeypatch):
    each = torch.tensor([1.0, 2.0, 6.0])
    monkeypatch.setattr(discrepancy_prior, "energy_discrepancy", lambda *_, **__: (each, each))
    found, x = model(inference=True), torch.randn(3, 3, generator=stream(2))
    losses = found.losses(Batch(x), rng=stream(0))
    found.inference(x).sample(rng := stream(0))  # where the posterior's chains would begin
    z = found.posterior_sampler(None, torch.empty(3, 1), rng=rng)
    assert float(losses["prior"]) == 3
    torch.testing.assert_close(losses["generator"], -found.generator(z).log_prob(x).mean())
    torch.testing.assert_close(losses["inference"], -found.inference(x).log_prob(z).mean())


def test_contrasts_are_needed():
    with pytest.raises(InputError, match="contrasts"):
        model(contrasts=0)


class ShiftedF(nn.Module):
    """−½ (z − c)²."""

    def forward(self, z, c):
        return -0.5 * ((z - c) ** 2).sum(1)


class Repeated(nn.Module):
    """Three times z, whatever the condition."""

    def forward(self, z, c):
        return z.expand(-1, 3)


def test_contrasts_have_the_condition_of_their_example():
    """With z = c + noise, ℓ of every contrast is that of z − c at c = 0: the loss does not depend on c."""

    @dataclass(frozen=True)
    class Start:
        def __call__(self, log_density, x, *, rng):
            return c + noise_like(x, rng)

    losses = []
    for c in (torch.zeros(5, 1), torch.arange(5.0)[:, None] * 10):
        found = model(contrasts=4)
        found.prior, found.generator.net = EBM(ShiftedF(), Uniform(1)), Repeated()
        found.posterior_sampler = Start()
        losses.append(found.losses(Batch(torch.zeros(5, 3), c), rng=stream(0))["prior"])
    torch.testing.assert_close(*losses, rtol=1e-4, atol=0)
