"""Reweighted chains: log Z and means of a linear model whose answers are known."""

import pytest
import torch
from torch import nn

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.samplers import MALA, Langevin
from absynth.samplers.jarzynski import Reweighted, systematic
from absynth.samplers.start import Persistent
from absynth.seeding import stream
from absynth.types import Batch

F64 = torch.float64


class Linear(nn.Module):
    """f(x) = θᵀx: exp(f) N(0, I) is N(θ, I), log Z = ‖θ‖² / 2."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(2, dtype=F64))

    def forward(self, x):
        return x @ self.theta


def test_systematic_resampling_keeps_expected_counts():
    weights = torch.tensor([0.1, 2.3, 0.0, 1.6, 1.0], dtype=F64)
    for seed in range(20):
        counts = systematic(weights, stream(seed)).bincount(minlength=5)
        assert counts.sum() == 5
        assert ((counts - weights).abs() < 1).all()


def drive(start, ebm, updates=25, seed=0):
    """Move θ to (1, −1) in equal steps, with one weak MALA step after each."""
    sampler, x = MALA(1, 0.2), torch.zeros(4000, 2, dtype=F64)
    for k in range(updates):
        chains, ticket = start.draw(x, rng=stream(seed, 0, k))
        start.keep(ticket, sampler(ebm().log_density, chains, rng=stream(seed, 1, k)))
        ebm.f.theta.data += torch.tensor([1.0, -1.0], dtype=F64) / updates
    return start.draw(x, rng=stream(seed, 0, updates))[0]


def test_log_z_and_the_mean_are_followed():
    ebm = EBM(Linear(), StandardNormal(2).double())
    start = Reweighted(ebm, 4000, StandardNormal(2).double(), rng=stream(9))
    x = drive(start, ebm)
    assert abs(float(start.log_z) - 1.0) < 0.05
    assert (x.mean(0) - ebm.f.theta.detach()).abs().max() < 0.1


def test_without_weights_the_chains_lag():
    """The negative control: one weak step an update cannot follow by itself."""
    ebm = EBM(Linear(), StandardNormal(2).double())
    x = drive(Persistent(4000, StandardNormal(2).double(), rng=stream(9)), ebm)
    assert (x.mean(0) - ebm.f.theta.detach()).abs().max() > 0.3


def test_it_is_a_start_of_maximum_likelihood():
    ebm = EBM(Linear(), StandardNormal(2).double())
    start = Reweighted(ebm, 32, StandardNormal(2).double(), rng=stream(9))
    model = MaximumLikelihood(ebm, start=start, sampler=Langevin(2, 0.2))
    loss = model.losses(Batch(torch.ones(32, 2, dtype=F64)), rng=stream(0))["ebm"]
    loss.backward()
    assert (ebm.f.theta.grad < 0).all()
    assert {"start.chains", "start.last", "start.log_z"} <= set(model.state_dict())
    assert not [name for name, _ in model.named_parameters() if name.startswith("start")]


@pytest.mark.parametrize("field", ["last", "log_z", "chains"])
def test_its_memory_is_saved(field):
    ebm = EBM(Linear(), StandardNormal(2).double())
    assert field in Reweighted(ebm, 4, StandardNormal(2).double(), rng=stream(0)).state_dict()
