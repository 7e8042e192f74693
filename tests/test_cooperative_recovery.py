"""Cooperative recovery: with the identity as initializer it is diffusion recovery, and the initializer learns its "
"task."""

import torch
from torch import nn

from absynth.algorithms.cooperative_recovery import CooperativeRecovery
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.distributions import StandardNormal
from absynth.networks.denoisers import ConvDenoiser, MLPDenoiser
from absynth.networks.time_embedding import LevelMLP
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch

F64 = torch.float64
NOISE = (0.1, 0.5, 0.9)


def pair(**settings):
    torch.manual_seed(0)
    net = LevelMLP(5, 8)
    ours = CooperativeRecovery(
        net, MLPDenoiser(5, 8), StandardNormal(5), noise=NOISE, sampler=Langevin(3, 0.2), **settings
    ).double()
    return ours, DiffusionRecovery(net, StandardNormal(5), noise=NOISE, sampler=Langevin(3, 0.2)).double()


BATCH = Batch(noise_like(torch.empty(12, 5, dtype=F64), stream(3)))


def test_it_begins_as_diffusion_recovery():
    """A fresh denoiser is the identity, so the chains begin at x_{t+1}."""
    ours, recovery = pair()
    found, expected = ours.losses(BATCH, rng=stream(1)), recovery.losses(BATCH, rng=stream(1))
    assert torch.equal(found["ebm"], expected["ebm"])
    assert torch.equal(ours.sample(4, rng=stream(2)), recovery.sample(4, rng=stream(2)))


def test_a_proposal_moves_the_start_of_the_chains():
    ours, recovery = pair()
    nn.init.constant_(ours.initializer.net[-1].bias, 0.5)
    ours.losses(BATCH, rng=stream(1))
    recovery.losses(BATCH, rng=stream(1))
    t = torch.zeros(len(BATCH.x), dtype=torch.long)
    unit = ours.unit
    moved = ours.chains["ebm"].start - recovery.chains["ebm"].start
    assert all(any(torch.isclose(m[0], 0.5 / u) for u in unit) for m in moved)
    assert ours.propose(BATCH.x, t, rng=stream(0)).sub(BATCH.x).allclose(torch.tensor(0.5, dtype=F64))


def test_the_noise_of_proposals_is_in_units_of_the_level():
    ours, _ = pair(proposal_noise=0.3)
    x, t = torch.zeros(20_000, 5, dtype=F64), torch.ones(20_000, dtype=torch.long)
    assert abs(ours.propose(x, t, rng=stream(4)).std() / (0.3 * ours.unit[1]) - 1) < 0.01


def test_an_observation_of_nothing_changes_nothing_and_one_of_a_coordinate_holds_it():
    ours, _ = pair()
    t = torch.arange(12) % 3
    free = ours.synthesize(BATCH.x, t, rng=stream(5))
    assert torch.equal(ours.synthesize(BATCH.x, t, lambda y: y, rng=stream(5)), free)
    first = torch.arange(5) == 0
    held = ours.synthesize(BATCH.x, t, lambda y: torch.where(first, 0.7, y), rng=stream(5))
    assert (held[:, 0] == 0.7).all()
    assert not torch.allclose(held[:, 1:], free[:, 1:])  # the others hear it


def test_each_loss_reaches_its_own_player():
    ours, _ = pair()
    losses = ours.losses(BATCH, rng=stream(1))
    other = torch.autograd.grad(losses["initializer"], list(ours.ebm.parameters()), allow_unused=True)
    assert all(g is None for g in other)
    own = torch.autograd.grad(losses["initializer"], list(ours.initializer.net[-1].parameters()))
    assert all(g.abs().sum() > 0 for g in own)


def test_the_initializer_of_images():
    net = ConvDenoiser(1, 8, 4)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(net(x, torch.tensor([0, 1])), x)
