"""Diffusive classification on a Gaussian, where every level is a quadratic and log Z is known."""

import math

import pytest
import torch
from laws import normal_law
from torch import nn

from absynth.algorithms.diffusive_classification import DiffusiveClassification
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.gaussian import Gaussian
from absynth.networks.level_heads import LevelHeads
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream, uniform_like
from absynth.types import Batch

F64 = torch.float64
VAR = 0.25
NOISE = (0.0, 0.3, 0.7)


class QuadraticLevels(nn.Module):
    """f_t(x) = c_t − ½ q_t x² in one dimension."""

    def __init__(self):
        super().__init__()
        self.c = nn.Parameter(torch.zeros(len(NOISE), dtype=F64))
        self.q = nn.Parameter(torch.zeros(len(NOISE), dtype=F64))

    def forward(self, x):
        return self.c - 0.5 * self.q * x**2


def variances():
    s2 = torch.tensor(NOISE, dtype=F64) ** 2
    return (1 - s2) * VAR + s2


def model(exact=False, **settings):
    heads = LevelHeads(QuadraticLevels())
    if exact:
        v = variances()
        heads.net.c.data = -0.5 * v.log()
        heads.net.q.data = 1 / v - 1
    sampler = settings.pop("sampler", Langevin(5, 0.2))
    return DiffusiveClassification(heads, StandardNormal(1), noise=NOISE, sampler=sampler, **settings).double()


def data(n, seed=0):
    return VAR**0.5 * noise_like(torch.empty(n, 1, dtype=F64), stream(seed))


@pytest.mark.parametrize("score_weight", [0.0, 0.5])
def test_it_learns_a_normalized_density(score_weight):
    """The problem is a convex one: its optimum is log p_t − log N(0, 1), constant and all."""
    m = model(score_weight=score_weight, copies=4)
    batch = Batch(data(20_000))
    optimizer = torch.optim.LBFGS(m.ebm.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = m.losses(batch, rng=stream(1))["ebm"]
        loss.backward()
        return loss

    optimizer.step(closure)
    v = variances()
    assert torch.allclose(m.ebm.f.net.q, 1 / v - 1, atol=0.12)
    assert torch.allclose(m.ebm.f.net.c, -0.5 * v.log(), atol=0.03)
    x = data(1000, 2)
    exact = -0.5 * x[:, 0] ** 2 / VAR - 0.5 * math.log(2 * math.pi * VAR)
    assert (m.log_prob(x) - exact).mean().abs() < 0.03


def test_the_truth_is_a_minimum():
    m, batch = model(exact=True), Batch(data(200_000))
    with torch.no_grad():
        best = float(m.losses(batch, rng=stream(3))["ebm"])
        for name in ("c", "q"):
            for shift in (-0.3, 0.3):
                worse = model(exact=True)
                getattr(worse.ebm.f.net, name).data[0] += shift
                assert float(worse.losses(batch, rng=stream(3))["ebm"]) > best


def test_the_loss_by_hand():
    """The cross entropy of levels 0 … T, the last one of log odds 0, and the score's error where there is noise."""
    m, x = model(score_weight=0.5, copies=2), data(3, 5)
    m.ebm.f.net.c.data = torch.tensor([0.3, -0.2, 0.1], dtype=F64)
    m.ebm.f.net.q.data = torch.tensor([2.0, 1.0, 0.5], dtype=F64)
    rng, x2 = stream(9), x.repeat_interleave(2, 0)[:, 0]
    shift = int(4 * float(uniform_like(x.new_empty(1), rng)))
    t = [(shift + k) % 4 for k in range(6)]
    noise = noise_like(x.repeat_interleave(2, 0), rng)[:, 0]
    s = torch.tensor([*NOISE, 1.0], dtype=F64)[t]
    x_t = (1 - s**2).sqrt() * x2 + s * noise
    c, q = (torch.cat([v.data, v.new_zeros(1)]) for v in (m.ebm.f.net.c, m.ebm.f.net.q))
    odds = c - 0.5 * q * x_t[:, None] ** 2
    expected = (odds.exp().sum(1).log() - odds[range(6), t]).mean()
    some = [k for k in range(6) if t[k] in (1, 2)]  # level 0 has no noise, level 3 nothing to learn
    residual = 0.5 * (noise - s * (1 + q[t]) * x_t)[some] ** 2
    torch.testing.assert_close(
        m.losses(Batch(x), rng=stream(9))["ebm"], expected + 0.5 * residual.mean(), rtol=1e-6, atol=0
    )


def test_levels_come_equally_often():
    counts = model().draw_levels(torch.zeros(40, 1), stream(5)).bincount()
    assert counts.tolist() == [10, 10, 10, 10]


def test_a_step_down_has_the_law_of_the_reverse_diffusion():
    """On a Gaussian the step is linear: its variance follows from that of level t + 1."""
    m, v = model(exact=True), variances()
    x = v[2].sqrt() * noise_like(torch.empty(50_000, 1, dtype=F64), stream(6))
    s1, s2 = NOISE[1], NOISE[2]
    a1, a2 = math.sqrt(1 - s1**2), math.sqrt(1 - s2**2)
    shrink, added = a2 / a1, 1 - (a2 / a1) ** 2
    predicted = (1 - s2**2 / float(v[2])) / a2
    factor = (shrink * s1**2 + a1 * added * predicted) / s2**2
    expected = factor**2 * float(v[2]) + s1**2 * added / s2**2
    normal_law(m.step_down(x, 1, rng=stream(7))[:, 0], 0.0, expected)


@pytest.mark.parametrize("noise", [(0.0, 0.3, 0.7), (0.2, 0.6)])
def test_the_table_of_levels(noise):
    m = DiffusiveClassification(LevelHeads(QuadraticLevels()), StandardNormal(1), noise=noise, sampler=Langevin(1, 0.1))
    m.double()
    assert m.levels == len(noise)
    assert m.noise.tolist() == pytest.approx([*noise, 1])
    assert m.signal.tolist() == pytest.approx([*(math.sqrt(1 - s**2) for s in noise), 0], abs=1e-6)
    assert m.unit.tolist() == pytest.approx([noise[0] or noise[1], *noise[1:]])
    x, t = torch.full((3, 2), 10.0, dtype=F64), torch.tensor([0, 1, 2])[: len(noise) + 1]
    diffused, noise_of_x = m.diffuse(x[: len(t)], t, rng=stream(1))
    drawn = noise_like(x[: len(t)], stream(1))
    assert torch.equal(noise_of_x, drawn)
    torch.testing.assert_close(diffused, m.signal[t][:, None] * 10 + m.noise[t][:, None] * drawn)
    for wrong in ((0.3,), (0.5, 0.2), (0.2, 1.0), (-0.1, 0.5)):
        with pytest.raises(InputError, match="two noise levels or more that rise"):
            DiffusiveClassification(
                LevelHeads(QuadraticLevels()), StandardNormal(1), noise=wrong, sampler=Langevin(1, 0.1)
            )


def test_a_step_down_is_bayes_rule_given_the_predicted_example():
    """x_t given x_0 = E[x_0 | x_{t+1}] and x_{t+1}: the product of two Gaussians."""
    m, v = model(exact=True), variances()
    x = torch.tensor([[-2.0], [0.5], [3.0]], dtype=F64)
    for t in (0, 1):
        s = NOISE[t] or 1e-9
        a, after = math.sqrt(1 - NOISE[t] ** 2), math.sqrt(1 - NOISE[t + 1] ** 2)
        predicted = after * VAR / v[t + 1] * x
        shrink, added = after / a, 1 - (after / a) ** 2
        variance = 1 / (1 / s**2 + shrink**2 / added)
        mean = variance * (a * predicted / s**2 + shrink * x / added)
        expected = mean + math.sqrt(variance) * noise_like(x, stream(4))
        torch.testing.assert_close(m.step_down(x, t, rng=stream(4)), expected, rtol=1e-4, atol=1e-6)


def test_the_chain_on_the_data_begins_above_and_steps_in_their_units():
    class Still(Langevin):
        def __call__(self, log_density, x, *, rng):
            return x

    heads = LevelHeads(QuadraticLevels())
    m = DiffusiveClassification(heads, StandardNormal(1), noise=(0.3, 0.6, 0.8), sampler=Still(4, 0.1)).double()
    a = [math.sqrt(1 - s**2) for s in (0.3, 0.6, 0.8)]
    chain = m.chain()
    assert (chain.sampler.steps, chain.sampler.step_size) == (4, pytest.approx(0.3 * 0.1 / a[0]))
    rng = stream(3)
    x = m.step_down(m.step_down(noise_like(torch.empty(5, 1, dtype=F64), rng), 1, rng=rng), 0, rng=rng)
    torch.testing.assert_close(chain.start.sample(5, stream(3)), x / a[0])
    torch.testing.assert_close(m.sample(5, rng=stream(3)), x / a[0])


def test_samples_follow_the_density():
    m = model(exact=True, sampler=Langevin(80, 0.6))
    x = m.sample(20_000, rng=stream(8))[:, 0]
    step = 0.6 * NOISE[1]
    normal_law(x, 0.0, VAR / (1 - step**2 / (4 * VAR)))  # the stationary law of Langevin steps, with their bias
    lazy = model(exact=True, sampler=Langevin(1, 0.01))  # negative control: almost no steps at the last level
    with pytest.raises(AssertionError):
        normal_law(lazy.sample(20_000, rng=stream(8))[:, 0], 0.0, VAR)


def test_the_chain_is_in_units_of_the_data():
    heads = LevelHeads(QuadraticLevels())
    m = DiffusiveClassification(heads, StandardNormal(1), noise=(0.3, 0.7, 0.9), sampler=Langevin(2, 0.1)).double()
    x = torch.linspace(-6, 6, 4001, dtype=F64)[:, None]
    with torch.no_grad():
        total = m.log_prob(x).exp().sum() * 12 / 4000
    assert abs(float(total) - 1) < 1e-3  # f = 0 is N(0, 1) at every level, normalized in x too


def test_bad_numbers():
    with pytest.raises(InputError, match="copies"):
        model(copies=0)
    with pytest.raises(InputError, match="score_weight"):
        model(score_weight=-1.0)
    with pytest.raises(InputError, match=r"N\(0, I\)"):
        DiffusiveClassification(
            LevelHeads(nn.Linear(1, 3)), StandardNormal(1, std=2.0), noise=NOISE, sampler=Langevin(1, 0.1)
        )


def test_samples_serve_autograd_under_inference_mode():
    """A chain's log density may hold its start, so the start must be no tensor of inference mode."""
    starts = []

    class Kept(Langevin):
        def __call__(self, log_density, x, *, rng):
            starts.append(x)
            return super().__call__(log_density, x, rng=rng)

    m = model(sampler=Kept(2, 0.1))
    with torch.inference_mode():
        m.sample(3, rng=stream(1))
    assert len(starts) == m.levels
    assert not any(x.is_inference() for x in starts)


class Whitening(nn.Module):
    """log N(m₂, Σ₂) − log N(m₁, Σ₁) at the whitened coordinates of N(m₁, Σ₁), for every level."""

    def __init__(self, reference: Gaussian, truth: Gaussian):
        super().__init__()
        self.reference, self.truth = reference, truth

    def forward(self, y):
        x = self.reference.color(y)
        return (self.truth.log_prob(x) - self.reference.log_prob(x))[:, None].expand(-1, len(NOISE))


def two_gaussians():
    reference = Gaussian(torch.tensor([1.0, -2.0], dtype=F64), torch.tensor([[0.5, 0.0], [1.0, 2.0]], dtype=F64))
    truth = Gaussian(torch.tensor([0.0, -1.0], dtype=F64), torch.tensor([[0.4, 0.0], [-0.3, 0.6]], dtype=F64))
    return reference, truth


def test_levels_that_lead_to_a_gaussian_of_the_data():
    """x_T is the reference, the density is that of the data in their own units, and the chain leaves it as it is."""
    reference, truth = two_gaussians()
    f = LevelHeads(Whitening(reference, truth))
    m = DiffusiveClassification(f, reference, noise=NOISE, sampler=Langevin(30, 0.2)).double()
    x = truth.sample(4000, stream(0))
    torch.testing.assert_close(m.log_prob(x), truth.log_prob(x))
    last, _ = m.diffuse(x, torch.full((len(x),), m.levels), rng=stream(1))
    drawn = m.outward(last)
    assert (drawn.mean(0) - reference.mean).abs().max() < 0.15
    assert torch.allclose(drawn.T.cov(), reference.factor @ reference.factor.T, atol=0.3)
    first, _ = m.diffuse(x, torch.zeros(len(x), dtype=torch.long), rng=stream(1))
    torch.testing.assert_close(m.outward(first), x)
    chain = m.chain()
    moved = chain.sampler(chain.density.log_density, x, rng=stream(2))
    assert not torch.isclose(moved, x).all(1).any()
    assert (moved.mean(0) - truth.mean).abs().max() < 0.06
    assert torch.allclose(moved.T.cov(), truth.factor @ truth.factor.T, atol=0.06)


def test_where_the_data_are_the_reference_samples_are_too():
    reference, _ = two_gaussians()
    f = LevelHeads(Whitening(reference, reference))
    m = DiffusiveClassification(f, reference, noise=NOISE, sampler=Langevin(60, 0.9)).double()
    x = m.sample(4000, rng=stream(0))
    assert (x.mean(0) - reference.mean).abs().max() < 0.15
    assert torch.allclose(x.T.cov(), reference.factor @ reference.factor.T, rtol=0.1, atol=0.1)
