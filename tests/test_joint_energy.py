"""The joint energy model, and the equivalence of classifiers and densities on laws that are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from absynth.algorithms.joint_energy import JointEnergy
from absynth.algorithms.symbol_vector import SymbolF
from absynth.classifiers import from_classifier, to_classifier
from absynth.density import EBM, score
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError
from absynth.gaussian import Gaussian
from absynth.metrics.grid import Grid
from absynth.networks.mlp import mlp, mlp_f
from absynth.samplers import FromNoise, Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch

F64 = torch.float64


class Tilt(nn.Module):
    """Log ratio of N(m, v I) and N(0, I), times nothing: its Z is not 1 but ``z``."""

    def __init__(self, mean: float, var: float, log_z: float) -> None:
        super().__init__()
        self.mean, self.var, self.log_z = mean, var, log_z

    def forward(self, x):
        d = x.shape[1]
        log_p = -0.5 * ((x - self.mean) ** 2).sum(1) / self.var - 0.5 * d * torch.log(torch.tensor(self.var, dtype=F64))
        return log_p + 0.5 * (x**2).sum(1) + self.log_z


LAWS = ((0.0, 1.0, 0.3), (1.0, 0.5, -2.0), (-1.5, 0.8, 5.0))


def posterior(x, log_prior):
    logs = [Gaussian(torch.full((2,), m, dtype=F64), v**0.5 * torch.eye(2, dtype=F64)).log_prob(x) for m, v, _ in LAWS]
    return (torch.stack(logs, 1) + log_prior).log_softmax(1)


def test_densities_make_the_classifier_of_bayes():
    x = noise_like(torch.empty(50, 2, dtype=F64), stream(1))
    ebms = [EBM(Tilt(*law), StandardNormal(2).double()) for law in LAWS]
    log_prior = torch.tensor([0.2, 0.5, 0.3], dtype=F64).log()
    log_z = torch.tensor([law[2] for law in LAWS], dtype=F64)
    found = to_classifier(ebms, log_z, log_prior)(x).log_softmax(1)
    torch.testing.assert_close(found, posterior(x, log_prior), atol=1e-10, rtol=0)
    listed = to_classifier(ebms, log_z.tolist(), log_prior.tolist())(x).log_softmax(1)
    torch.testing.assert_close(listed, found, rtol=1e-5, atol=1e-6)
    wrong = to_classifier(ebms, torch.zeros(3, dtype=F64), log_prior)(x).log_softmax(1)
    assert (wrong - posterior(x, log_prior)).abs().max() > 0.1


class Bayes(nn.Module):
    """A perfect classifier, its logits shifted by what a softmax does not see."""

    def forward(self, x):
        return posterior(x, torch.tensor([0.2, 0.5, 0.3], dtype=F64).log()) + x.sum(1, keepdim=True)


def test_a_classifier_with_a_known_class_makes_normalized_densities():
    log_prior = torch.tensor([0.2, 0.5, 0.3], dtype=F64).log()
    ebms = from_classifier(Bayes(), log_prior, StandardNormal(2).double())
    grid = Grid(-8, 8, 200, 2)
    for ebm, (mean, var, _) in zip(ebms, LAWS[1:], strict=True):
        assert float(grid.log_integral(ebm().log_density)) == pytest.approx(0.0, abs=1e-5)
        x = noise_like(torch.empty(20, 2, dtype=F64), stream(2))
        law = Gaussian(torch.full((2,), mean, dtype=F64), var**0.5 * torch.eye(2, dtype=F64))
        torch.testing.assert_close(ebm().log_density(x), law.log_prob(x), atol=1e-5, rtol=0)


def model(**options) -> JointEnergy:
    torch.manual_seed(0)
    flat = Uniform(2)
    return JointEnergy(
        EBM(SymbolF(mlp([2, 8, 3], "silu")), flat), start=FromNoise(flat), sampler=Langevin(2, 0.1), **options
    ).double()


X = noise_like(torch.empty(6, 2, dtype=F64), stream(3))
Y = torch.tensor([0, -1, 2, -1, 1, -1])


def test_log_p_of_x_and_y_is_that_of_y_given_x_plus_that_of_x():
    found = model()
    joint = torch.stack([found.ebm(torch.full((6,), k)).log_density(X) for k in range(3)], 1)
    torch.testing.assert_close(joint, found.classify(X) + found.ebm().log_density(X)[:, None])


def test_the_loss_is_cross_entropy_of_labels_plus_the_energy_difference_of_all():
    found = model(label_weight=2.0, density_weight=3.0, penalty=0.1)
    loss = found.losses(Batch(X, y=Y), rng=stream(4))["ebm"]
    f_pos, f_neg = found.ebm().f(X), found.ebm().f(found.chains["ebm"].end)
    supervised = cross_entropy(found.logits(X[Y >= 0]), Y[Y >= 0])
    expected = 2 * supervised + 3 * (f_neg.mean() - f_pos.mean()) + 0.1 * (f_pos**2 + f_neg**2).mean()
    torch.testing.assert_close(loss, expected)
    plain = model(density_weight=0.0).losses(Batch(X, y=Y), rng=stream(4))["ebm"]
    torch.testing.assert_close(plain, supervised)
    no_label = model(density_weight=0.0).losses(Batch(X, y=torch.full((6,), -1)), rng=stream(4))["ebm"]
    assert float(no_label) == 0


def test_anomaly_scores_are_log_p_its_gradient_and_the_certainty():
    found = model()
    scores = found.anomaly_scores(X).scores
    torch.testing.assert_close(scores["−log p(x)"], -found.ebm().log_density(X).detach())
    torch.testing.assert_close(scores["‖∇ log p(x)‖"], score(found.ebm().log_density, X).norm(dim=1))
    torch.testing.assert_close(scores["−max log p(y|x)"], -found.classify(X).amax(1).detach())


def test_bad_input_is_one_line():
    flat = Uniform(2)
    with pytest.raises(InputError, match="SymbolF"):
        JointEnergy(EBM(mlp_f(2, 8), flat), start=FromNoise(flat), sampler=Langevin(2, 0.1))
    with pytest.raises(InputError, match="one log Z"):
        to_classifier([EBM(mlp_f(2, 8), flat)] * 2, torch.zeros(3))
    with pytest.raises(InputError, match="one class or more"):
        from_classifier(mlp([2, 1]), torch.zeros(1), flat)
    with pytest.raises(InputError, match="two densities or more"):
        to_classifier([], torch.zeros(0))
    shares = torch.tensor([0.25, 0.75])  # not their logarithms
    for convert in (
        lambda: to_classifier([EBM(mlp_f(2, 8), flat)] * 2, torch.zeros(2), shares),
        lambda: from_classifier(mlp([2, 2]), shares, flat),
    ):
        with pytest.raises(InputError, match=r"sum to 1, got a sum of 3.401"):
            convert()
    (found,) = from_classifier(mlp([2, 3]), shares.log(), flat)
    with pytest.raises(InputError, match="a classifier of 2 classes, one per share, got 3"):
        found.f(torch.zeros(1, 2))
