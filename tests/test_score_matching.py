"""Score matching against closed forms on Gaussians, and the faults that they catch."""

import pytest
import torch
from laws import mean_is
from torch import nn

from absynth.algorithms.score_matching import DenoisingScoreMatching, MultilevelScoreMatching, SlicedScoreMatching
from absynth.density import EBM
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError
from absynth.networks.level_heads import mlp_levels
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream, uniform_like
from absynth.types import Batch

F64 = torch.float64
SHORT = Langevin(3, 0.1)


class Quadratic(nn.Module):
    """f(x) = −½ Σ_i P_i (x_i − m_i)²."""

    def __init__(self, precision, mean):
        super().__init__()
        self.precision = nn.Parameter(torch.tensor(precision, dtype=F64))
        self.mean = nn.Parameter(torch.tensor(mean, dtype=F64))

    def forward(self, x):
        return -0.5 * (self.precision * (x - self.mean) ** 2).sum(1)


def quadratic(precision, mean):
    return EBM(Quadratic(precision, mean), Uniform(len(mean), low=-100.0, high=100.0).double())


def data(n, var, mean, seed=0):
    return torch.tensor(mean, dtype=F64) + torch.tensor(var, dtype=F64).sqrt() * noise_like(
        torch.empty(n, len(mean), dtype=F64), stream(seed)
    )


def gradients(make, x, repeats):
    """Gradients of the loss in the EBM's parameters ``[repeats, parameters]``, each from its own slice of x."""
    model, rows = make, []
    for i, part in enumerate(x.chunk(repeats)):
        loss = model.losses(Batch(part), rng=stream(1, 0, i))["ebm"]
        found = torch.autograd.grad(loss, list(model.ebm.parameters()))
        rows.append(torch.cat([g.flatten() for g in found]))
    return torch.stack(rows)


def test_sliced_is_exact_for_a_diagonal_quadratic():
    """Directions of ±1 give vᵀPv = tr P exactly: L = ½ mean ‖P(x − m)‖² − tr P."""
    model = SlicedScoreMatching(quadratic([2.0, 0.5], [0.3, -1.0]), sampler=SHORT, slices=2)
    x = data(50, [1.0, 2.0], [0.0, 0.0])
    p, m = model.ebm.f.precision, model.ebm.f.mean
    expected = 0.5 * ((p * (x - m)) ** 2).sum(1).mean() - p.sum()
    assert torch.allclose(model.losses(Batch(x), rng=stream(0))["ebm"], expected, atol=1e-12)


@pytest.mark.parametrize("method", ["denoising", "sliced"])
def test_the_gradient_vanishes_at_the_truth(method):
    """Denoising learns the data with their noise: variance v + σ²; sliced learns the data."""
    var, mean = torch.tensor([0.5, 2.0], dtype=F64), [1.0, -2.0]
    noise = 0.4 if method == "denoising" else 0.0
    truth = quadratic((1 / (var + noise**2)).tolist(), mean)
    if method == "denoising":
        model = DenoisingScoreMatching(truth, noise=noise, sampler=SHORT)
    else:
        model = SlicedScoreMatching(truth, sampler=SHORT)
    x = data(200_000, var.tolist(), mean)
    mean_is(gradients(model, x, 400), 0.0)
    truth.f.precision.data *= 1.1  # negative control: the law sees 10 %
    with pytest.raises(AssertionError):
        mean_is(gradients(model, x, 400), 0.0)


def test_the_losses_of_denoising_by_hand():
    """½ ‖σ s(x + σε) + ε‖², s = −P(x − m); over several levels s is the score of the level and σ its s_t."""
    x, p, m = data(4, [1.0, 2.0], [0.0, 0.5]), torch.tensor([2.0, 0.5], dtype=F64), torch.tensor([0.3, -1.0], dtype=F64)
    ebm = quadratic(p.tolist(), m.tolist())
    noise = noise_like(x, stream(5))
    expected = 0.5 * ((noise - 0.4 * p * (x + 0.4 * noise - m)) ** 2).sum(1)
    found = DenoisingScoreMatching(ebm, noise=0.4, sampler=SHORT).losses(Batch(x), rng=stream(5))["ebm"]
    torch.testing.assert_close(found, expected.mean())

    class Levels(nn.Module):
        def forward(self, x, t):
            return -0.5 * t * (x**2).sum(1)

    s = torch.tensor([0.1, 0.5, 0.9], dtype=F64)
    model = MultilevelScoreMatching(Levels(), StandardNormal(2), noise=s.tolist(), sampler=SHORT).double()
    rng = stream(6)
    t = (3 * uniform_like(x[:, 0], rng)).long()
    noise, s_t = noise_like(x, rng), s[t][:, None]
    x_t = (1 - s_t**2).sqrt() * x + s_t * noise
    expected = 0.5 * ((noise - s_t * (1 + t[:, None]) * x_t) ** 2).sum(1)
    torch.testing.assert_close(model.losses(Batch(x), rng=stream(6))["ebm"], expected.mean(), rtol=1e-6, atol=0)
    assert len(set(t.tolist())) > 1


def test_denoising_has_the_right_sign():
    """A step against the gradient moves the model's mean to the data's, and its precision up if the data are
    narrower."""
    model = DenoisingScoreMatching(quadratic([1.0], [0.0]), noise=0.1, sampler=SHORT)
    loss = model.losses(Batch(data(5000, [0.04], [1.0])), rng=stream(2))["ebm"]
    loss.backward()
    assert model.ebm.f.mean.grad < 0
    centred = DenoisingScoreMatching(quadratic([1.0], [1.0]), noise=0.1, sampler=SHORT)
    centred.losses(Batch(data(5000, [0.04], [1.0])), rng=stream(2))["ebm"].backward()
    assert centred.ebm.f.precision.grad < 0


def test_several_levels_have_a_score_each():
    """With f = 0 the score is that of N(0, I): data of N(0, I) are diffused to N(0, I), so the gradient vanishes."""
    torch.manual_seed(0)
    f = mlp_levels(2, 8, 3)
    for p in f.net[-1].parameters():
        nn.init.zeros_(p)
    model = MultilevelScoreMatching(f, StandardNormal(2), noise=(0.1, 0.5, 0.9), sampler=SHORT).double()
    rows = []
    for i, part in enumerate(data(60_000, [1.0, 1.0], [0.0, 0.0], 3).chunk(200)):
        loss = model.losses(Batch(part), rng=stream(4, 0, i))["ebm"]
        rows.append(torch.autograd.grad(loss, f.net[-1].weight)[0].flatten())
    mean_is(torch.stack(rows), 0.0)


def test_samples_have_the_shape_of_the_data():
    model = MultilevelScoreMatching(mlp_levels(2, 8, 3), StandardNormal(2), noise=(0.1, 0.5, 0.9), sampler=SHORT)
    assert model.sample(5, rng=stream(0)).shape == (5, 2)
    one = DenoisingScoreMatching(quadratic([1.0, 1.0], [0.0, 0.0]), noise=0.1, sampler=SHORT)
    assert one.double().sample(5, rng=stream(0)).shape == (5, 2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DenoisingScoreMatching(quadratic([1.0], [0.0]), noise=0.0, sampler=SHORT), "positive"),
        (lambda: SlicedScoreMatching(quadratic([1.0], [0.0]), sampler=SHORT, slices=0), "slice"),
        (
            lambda: MultilevelScoreMatching(mlp_levels(2, 4, 2), StandardNormal(2), noise=(0.0, 0.5), sampler=SHORT),
            "above 0",
        ),
        (
            lambda: MultilevelScoreMatching(mlp_levels(2, 4, 2), StandardNormal(2), noise=(0.5, 0.2), sampler=SHORT),
            "rise",
        ),
    ],
)
def test_bad_numbers(make, said):
    with pytest.raises(InputError, match=said):
        make()
