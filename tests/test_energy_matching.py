"""Energy matching: its pairing, its two losses, and the law of its sweep."""

import itertools

import pytest
import torch
from laws import mean_is, normal_law
from test_score_matching import Quadratic

from absynth.algorithms.energy_matching import EnergyMatching, transport_pairs
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks.mlp import mlp_f
from absynth.samplers import Langevin
from absynth.samplers.ramped import RampedLangevin
from absynth.seeding import noise_like, stream, uniform_like
from absynth.types import Batch

F64 = torch.float64


def model(**settings):
    torch.manual_seed(0)
    settings = {"temperature": 0.2, "sampler": RampedLangevin(4, 0.1), "data_sampler": Langevin(2, 0.1)} | settings
    return EnergyMatching(EBM(mlp_f(2, 8, "silu"), StandardNormal(2)), **settings).double()


def test_pairs_are_the_cheapest_of_all():
    x0, x1 = (noise_like(torch.empty(6, 2, dtype=F64), stream(i)) for i in (1, 2))
    cost = ((transport_pairs(x0, x1) - x1) ** 2).sum()
    every = (((x0[list(p)] - x1) ** 2).sum() for p in itertools.permutations(range(6)))
    assert torch.isclose(cost, min(every))


def test_the_flow_is_matched_by_the_energy_that_generates_it():
    """Data at one point m: the velocity m − x₀ at x_t is (m − x_t) / (1 − t); at t = 0 alone it is the score of
    −‖x − m‖² / 2ε times ε. With a flat ℓ the loss is the weighted squared distance itself."""
    m = model(flow_share=1.0, gate=0.0)
    for p in m.ebm.parameters():
        p.data.zero_()
    m.ebm.reference = StandardNormal(2, std=1e-6).double()  # x₀ = 0, and its own score is of no size beside it
    m.ebm.reference.log_prob = lambda x: 0 * x.sum(1)
    x = torch.tensor([[3.0, 4.0]], dtype=F64).repeat(4000, 1)
    losses = torch.stack([m.losses(Batch(x[:1]), rng=stream(3, 0, i))["ebm"].detach() for i in range(2000)])
    mean_is(losses, 12.5)  # 25 · E[1 − t]


def test_the_flows_loss_by_hand():
    """Σ w(t) ‖ε ∇ℓ(x_t) − (x − x₀)‖², x_t = (1 − t) x₀ + t x, and w falls from 1 at the gate to 0 at t = 1."""
    ebm = EBM(Quadratic([4.0, 1.0], [1.0, -0.5]), StandardNormal(2).double())
    m = EnergyMatching(
        ebm, temperature=0.3, sampler=RampedLangevin(4, 0.1), data_sampler=Langevin(2, 0.1), gate=0.4, flow_share=1.0
    )
    x = 2 + noise_like(torch.empty(7, 2, dtype=F64), stream(4))
    rng = stream(5)
    x0 = transport_pairs(ebm.reference.sample(7, rng), x)
    t = uniform_like(x[:, 0], rng)[:, None]
    x_t = (1 - t) * x0 + t * x
    slope = -torch.tensor([4.0, 1.0]) * (x_t - torch.tensor([1.0, -0.5])) - x_t
    weight = torch.where(t < 0.4, 1.0, (1 - t) / 0.6)
    assert 0 < (t < 0.4).sum() < 7
    expected = (weight * (0.3 * slope - (x - x0)) ** 2).sum(1).mean()
    torch.testing.assert_close(m.flow_loss(x, rng=stream(5)), expected)
    torch.testing.assert_close(m.losses(Batch(x), rng=stream(5))["ebm"], expected)


def test_half_of_the_negatives_come_from_the_reference_and_half_from_the_data():
    m = model(flow_share=0.0, sampler=RampedLangevin(3, 1e-9), data_sampler=Langevin(2, 1e-9))
    x = 9 + noise_like(torch.empty(5, 2, dtype=F64), stream(6))
    x_neg = m.synthesize(x, rng=stream(7))
    torch.testing.assert_close(x_neg[2:], x[2:])
    assert (x_neg[:2] < 5).all()
    assert x_neg.shape == x.shape
    torch.testing.assert_close(m.synthesize(x[:1], rng=stream(7)), x[:1])


def test_the_first_phase_runs_no_chain():
    m = model(flow_share=0.5)
    m.set_progress(0.49)
    m.losses(Batch(torch.zeros(4, 2, dtype=F64)), rng=stream(0))
    assert not m.chains
    m.set_progress(0.5)
    m.losses(Batch(torch.zeros(4, 2, dtype=F64)), rng=stream(0))
    assert "ebm" in m.chains


def test_the_contrast_has_the_sign_of_maximum_likelihood():
    """Data at 1, model at 0: the gradient pulls the model's mean up."""
    ebm = EBM(Quadratic([4.0], [0.0]), StandardNormal(1).double())
    m = EnergyMatching(
        ebm, temperature=1.0, sampler=RampedLangevin(20, 0.3), data_sampler=Langevin(20, 0.3), flow_share=0.0
    )
    x = 1 + 0.1 * noise_like(torch.empty(200, 1, dtype=F64), stream(4))
    x_neg = m.synthesize(x, rng=stream(5))
    loss = ebm().log_density(x_neg).mean() - ebm().log_density(x).mean()
    assert torch.autograd.grad(loss, ebm.f.mean)[0] < 0


def test_the_losses_are_added_with_their_weights():
    """The flow's loss, and λ times ε times the energy difference of the chains' ends."""
    x = noise_like(torch.empty(6, 2, dtype=F64), stream(6))
    m = model(flow_share=0.0, temperature=0.2, contrast_weight=3.0)
    m.set_progress(1.0)
    total, flow = m.losses(Batch(x), rng=stream(7))["ebm"], m.flow_loss(x, rng=(rng := stream(7)))
    f, x_neg = m.ebm().log_density, m.synthesize(x, rng=rng)
    torch.testing.assert_close(total, flow + 3.0 * 0.2 * (f(x_neg).mean() - f(x).mean()))


def test_the_sweep_has_its_exact_law():
    """On N(0, v): v ← a² v + δ² T_k."""
    v, step, sampler = 0.5, 0.4, RampedLangevin(12, 0.4, zero_until=0.3, one_from=0.7)
    temperatures = sampler.temperatures()
    assert temperatures[0] == 0
    assert temperatures[-1] == 1
    x = 2 * noise_like(torch.empty(50_000, 1, dtype=F64), stream(6))
    end = sampler(lambda x: -0.5 * (x**2).sum(1) / v, x, rng=stream(7))
    var, shrink = 4.0, 1 - step**2 / (2 * v)
    for t in temperatures:
        var = shrink**2 * var + step**2 * t
    normal_law(end[:, 0], 0.0, var)


def test_bad_numbers():
    with pytest.raises(InputError, match="temperature > 0"):
        model(temperature=0.0)
    with pytest.raises(InputError, match="gate"):
        model(gate=1.0)
