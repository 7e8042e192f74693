"""Introspective learning: the cascade's product of ratios, whose pseudo-negatives are whose, and what labels add."""

from __future__ import annotations

import pytest
import torch
from laws import normal_law
from torch import nn
from torch.nn.functional import cross_entropy, softplus

from absynth.algorithms import introspective
from absynth.algorithms.introspective import Introspective
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError, Unsupported
from absynth.networks.heads import Cascade
from absynth.networks.mlp import mlp, mlp_f
from absynth.samplers import HMC, Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch
from absynth.updates import update

F64 = torch.float64


class Shift(nn.Module):
    """log N(m + s, 1) − log N(m, 1): the logit of a perfect classifier of data shifted by s."""

    def __init__(self, mean: float, shift: float) -> None:
        super().__init__()
        self.mean, self.shift = mean, nn.Parameter(torch.tensor(shift, dtype=F64))

    def forward(self, x):
        return -0.5 * (x - self.mean - self.shift) ** 2 + 0.5 * (x - self.mean) ** 2


def cascade(sampler=None) -> Introspective:
    nets = [Shift(0.0, 1.0), Shift(1.0, 1.0)]
    return Introspective(
        EBM(Cascade(nets), StandardNormal(1).double()),
        sampler=sampler or HMC(30, 0.5, leapfrog_steps=4),
        negatives=4000,
        shape=(1,),
    ).double()


def test_perfect_classifiers_carry_the_reference_to_the_data():
    model = cascade()
    for stages in (0, 1, 2):
        normal_law(model.sample_stage(stages, 8000, rng=stream(1))[:, 0], float(stages), 1.0)
    x = model.sample(8000, rng=stream(1))
    normal_law(x[:, 0], 2.0, 1.0)
    with pytest.raises(AssertionError):
        normal_law(x[:, 0], 1.9, 1.0)


def test_pseudo_negatives_are_drawn_from_the_classifiers_before():
    model = cascade()
    x = 2 + noise_like(torch.empty(64, 1, dtype=F64), stream(2))
    for share, mean in ((0.0, 0.0), (0.5, 1.0)):
        model.set_progress(share)
        model.losses(Batch(x), rng=stream(3))
        normal_law(model.negatives[:, 0], mean, 1.0)
    kept = model.negatives.clone()
    model.losses(Batch(x), rng=stream(4))
    assert torch.equal(model.negatives, kept), "they are drawn once for each classifier"


def test_only_the_classifier_in_turn_learns():
    model = cascade()
    x = 2 + noise_like(torch.empty(64, 1, dtype=F64), stream(2))
    for share, learner in ((0.0, 0), (0.6, 1)):
        before = [net.shift.item() for net in model.cascade.nets]
        model.set_progress(share)
        update(model, {"ebm": torch.optim.SGD(model.ebm.parameters(), 0.1)}, Batch(x), rng=stream(5))
        moved = [net.shift.item() != b for net, b in zip(model.cascade.nets, before, strict=True)]
        assert moved == [k == learner for k in range(2)]


def classes(**options) -> Introspective:
    torch.manual_seed(0)
    nets = [mlp([2, 8, 3], "silu") for _ in range(2)]
    return Introspective(
        EBM(Cascade(nets), StandardNormal(2)), sampler=Langevin(3, 0.1), negatives=9, shape=(2,), classes=3, **options
    ).double()


def test_the_loss_is_softmax_of_the_sum_and_logistic_within_each_class(monkeypatch):
    model = classes(negative_weight=2.0)
    x, y = noise_like(torch.empty(5, 2, dtype=F64), stream(6)), torch.tensor([0, 2, 1, -1, 2])
    model.set_progress(0.6)
    loss = model.losses(Batch(x, y=y), rng=stream(7))["ebm"]
    known, (first, second) = y >= 0, model.cascade.nets
    supervised = cross_entropy(first(x[known]).detach() + second(x[known]), y[known])
    pos = softplus(-second(x[known]).gather(1, y[known, None])).mean()
    negatives = softplus(second(model.negatives).gather(1, model.negative_labels[:, None]))
    rest = (loss - supervised - 2 * pos) / 2
    assert negatives.min() <= rest <= negatives.max()
    for u, row in ((0.0, 0), (1.0, len(negatives) - 1)):  # a uniform number may be rounded to 1
        monkeypatch.setattr(introspective, "uniform_like", lambda like, rng, u=u: torch.full_like(like, u))
        loss = model.losses(Batch(x, y=y), rng=stream(7))["ebm"]
        torch.testing.assert_close((loss - supervised - 2 * pos) / 2, negatives[row, 0])
    plain = classes(negative_weight=0.0)
    torch.testing.assert_close(
        plain.losses(Batch(x, y=y), rng=stream(7))["ebm"],
        cross_entropy(plain.cascade.nets[0](x[known]), y[known]),
    )
    torch.testing.assert_close(model.classify(x), (first(x) + second(x)).log_softmax(1))


def test_later_rounds_come_from_the_classifier_itself_and_earlier_ones_are_kept():
    torch.manual_seed(0)
    model = Introspective(
        EBM(Cascade([Shift(0.0, 1.0)]), StandardNormal(1).double()), sampler=HMC(30, 0.5, leapfrog_steps=4),
        negatives=8000, shape=(1,), rounds=2, positive_weight=0.0,
    ).double()  # fmt: skip
    x = 2 + noise_like(torch.empty(64, 1, dtype=F64), stream(2))
    model.losses(Batch(x), rng=stream(7))
    first, again = (model.losses(Batch(y), rng=stream(8))["ebm"] for y in (x, x + 1))
    assert first == again != 0, "without the data's half of it the data do not matter"
    assert not model.negatives[4000:].any()
    kept = model.negatives[:4000].clone()
    model.set_progress(0.5)
    model.losses(Batch(x), rng=stream(9))
    assert torch.equal(model.negatives[:4000], kept)
    for rows, mean in ((model.negatives[:4000], 0.0), (model.negatives[4000:], 1.0)):
        normal_law(rows[:, 0], mean, 1.0)


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match="rounds between 1 and the 9"):
        classes(rounds=10)
    with pytest.raises(InputError, match="Cascade"):
        Introspective(EBM(mlp_f(2, 4), StandardNormal(2)), sampler=Langevin(3, 0.1), negatives=9, shape=(2,))
    with pytest.raises(InputError, match="needs labels"):
        classes().losses(Batch(torch.zeros(3, 2, dtype=F64)), rng=stream(0))
    with pytest.raises(Unsupported, match="without classes"):
        cascade().classify(torch.zeros(3, 1, dtype=F64))
