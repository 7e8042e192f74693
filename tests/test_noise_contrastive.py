"""Noise contrastive estimation: its optimum is the data's law with c = log Z; the players' gradients; the turns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from absynth.algorithms.chain import SampledStart
from absynth.algorithms.noise_contrastive import NoiseContrastive
from absynth.algorithms.symbol_vector import SymbolF
from absynth.density import EBM
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError, Unsupported
from absynth.networks.flow import CouplingFlow
from absynth.networks.heads import Normalized
from absynth.networks.mlp import mlp, mlp_f
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch
from absynth.updates import backward, update

F64 = torch.float64
FLAT = Uniform(1, low=-0.5, high=0.5)
SAMPLER = Langevin(3, 0.1)


class Quadratic(nn.Module):
    """−a x²/2 + b x."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.tensor(v, dtype=F64)) for v in (a, b))

    def forward(self, x):
        return (-0.5 * self.a * x**2 + self.b * x)[:, 0]


def log_z(a: float, b: float) -> float:
    return 0.5 * math.log(2 * math.pi / a) + b**2 / (2 * a)


def model(a: float, b: float, c: float) -> NoiseContrastive:
    return NoiseContrastive(
        EBM(Normalized(Quadratic(a, b), c), FLAT), StandardNormal(1, std=2.0), sampler=SAMPLER
    ).double()


def gradients(found: NoiseContrastive, n: int = 400_000) -> torch.Tensor:
    """The gradient at N(1/2, 1/4) data, in units of its own standard error from 40 blocks."""
    x = 0.5 + 0.5 * noise_like(torch.empty(n, 1, dtype=F64), stream(1))
    rows = []
    for k, block in enumerate(x.chunk(40)):
        loss = found.losses(Batch(block), rng=stream(2, 0, k))["ebm"]
        rows.append(torch.stack(torch.autograd.grad(loss, list(found.ebm.parameters()))))
    rows = torch.stack(rows)
    return rows.mean(0) / (rows.std(0) / 40**0.5)


def test_the_optimum_is_the_data_with_c_the_log_of_z():
    assert gradients(model(4.0, 2.0, log_z(4, 2))).abs().max() < 4.8  # precision 4, mean 1/2
    for wrong in (model(3.8, 2.0, log_z(3.8, 2)), model(4.0, 2.0, log_z(4, 2) + 0.03)):
        assert gradients(wrong).abs().max() > 4.8


def test_it_learns_a_gaussian_and_its_constant():
    found = model(1.0, 0.0, 0.0)
    optimizers = {"ebm": torch.optim.Adam(found.ebm.parameters(), 0.05)}
    for step in range(400):
        for group in optimizers["ebm"].param_groups:
            group["lr"] = 0.05 * (1 - step / 400)
        x = 0.5 + 0.5 * noise_like(torch.empty(2000, 1, dtype=F64), stream(3, 0, step))
        update(found, optimizers, Batch(x), rng=stream(4, 0, step))
    assert found.ebm.f.log_z.item() == pytest.approx(log_z(4, 2), abs=0.1)
    assert found.ebm.f.f.a.item() == pytest.approx(4.0, rel=0.1)


def contrastive(turns="together", **options) -> NoiseContrastive:
    torch.manual_seed(0)
    flow = CouplingFlow(2, layers=2, width=8)
    for p in flow.parameters():
        nn.init.normal_(p, std=0.2)
    f = Normalized(mlp_f(2, 8, "silu"))
    flat = Uniform(2, low=-0.5, high=0.5)
    return NoiseContrastive(EBM(f, flat), flow, sampler=SAMPLER, turns=turns, **options).double()


def test_the_flow_descends_what_the_energy_ascends_through_draws_and_density():
    found = contrastive()
    x = noise_like(torch.empty(64, 2, dtype=F64), stream(5))
    losses = found.losses(Batch(x), rng=stream(6))
    assert float(losses["noise"]) == pytest.approx(-float(losses["ebm"]))
    parameter = found.noise.couplings[0].net[0].weight
    (slope,) = torch.autograd.grad(losses["noise"], [parameter])
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter[0, 0] += sign * 1e-6
            values.append(float(found.losses(Batch(x), rng=stream(6))["noise"].detach()))
            parameter[0, 0] -= sign * 1e-6
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(float(slope[0, 0]), rel=1e-4)


def learners(found: NoiseContrastive, x: torch.Tensor) -> set[str]:
    players = {"ebm": found.ebm, "noise": found.noise}
    found.zero_grad()
    backward(found.losses(Batch(x), rng=stream(7)), players)
    return {name for name, m in players.items() if any(p.grad is not None for p in m.parameters())}


def test_the_accuracy_counts_data_above_zero_and_noise_below():
    found, seen = contrastive("alternate"), []
    x = noise_like(torch.empty(256, 2, dtype=F64), stream(8))
    found.contrast = lambda x, drawn: (torch.tensor([0.2, 0.4, -0.1, 2.0]), torch.tensor([0.5, -0.5, -2.0, 0.9]))
    found.take_turns = lambda accuracy: seen.append(float(accuracy))
    found.losses(Batch(x), rng=stream(7))
    assert seen == [0.5 * (0.75 + 0.5)]


def test_turns():
    x = noise_like(torch.empty(256, 2, dtype=F64), stream(8))
    assert learners(contrastive("fixed"), x) == {"ebm"}
    assert learners(contrastive("together"), x) == {"ebm", "noise"}
    warm = contrastive("together", warmup=0.5)
    warm.set_progress(0.4)
    assert learners(warm, x) == {"noise"}
    loss = warm.losses(Batch(x), rng=stream(7))["noise"]
    torch.testing.assert_close(loss, -warm.noise.log_prob(x).mean())  # maximum likelihood
    turn = contrastive("alternate")
    turn.turn.fill_(0)
    assert learners(turn, x) == {"ebm"}
    turn.turn.fill_(0)
    turn.take_turns(torch.tensor(0.51))
    assert float(turn.turn) == 0
    turn.take_turns(torch.tensor(0.6))
    assert float(turn.turn) == 1
    turn.take_turns(torch.tensor(0.5))
    assert float(turn.turn) == 1
    turn.take_turns(torch.tensor(0.4))
    assert float(turn.turn) == 0


def test_labels_add_their_cross_entropy():
    torch.manual_seed(0)
    net = mlp([2, 8, 3], "silu")
    found = NoiseContrastive(EBM(Normalized(SymbolF(net)), Uniform(2)), StandardNormal(2), sampler=SAMPLER).double()
    x, y = noise_like(torch.empty(6, 2, dtype=F64), stream(9)), torch.tensor([0, -1, 2, -1, 1, -1])
    with_labels = found.losses(Batch(x, y=y), rng=stream(10))["ebm"]
    without = found.losses(Batch(x), rng=stream(10))["ebm"]
    known = found.classify(x)[y >= 0].gather(1, y[y >= 0, None]).mean()
    torch.testing.assert_close(with_labels - without, -known)


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match="Normalized"):
        NoiseContrastive(EBM(mlp_f(2, 8), StandardNormal(2)), StandardNormal(2), sampler=SAMPLER)
    without_density = SampledStart(lambda n, rng: noise_like(torch.empty(n, 2, dtype=F64), rng))
    found = NoiseContrastive(EBM(Normalized(mlp_f(2, 8)), StandardNormal(2)), without_density, sampler=SAMPLER).double()
    with pytest.raises(Unsupported, match="have no density"):
        found.losses(Batch(torch.zeros(3, 2, dtype=F64)), rng=stream(0))
    with pytest.raises(Unsupported, match="labels"):
        contrastive().classify(torch.zeros(2, 2, dtype=F64))
