"""Distributions against PyTorch's own, their samples against their laws."""

from __future__ import annotations

import math

import pytest
import torch
from laws import mean_is, normal_law, same_law
from scipy import stats
from torch import distributions as pytorch
from torch import nn

from absynth.distributions import (
    Bernoulli,
    GaussianGenerator,
    GaussianInference,
    Normal,
    StandardNormal,
    Uniform,
    observed_log_prob,
    sum_event,
    with_frames,
)
from absynth.errors import InputError
from absynth.references import EMMixture, FollowedNormal
from absynth.seeding import Streams, noise_like, stream
from absynth.types import Conditional, Distribution, Reference

F64 = torch.float64
SHAPES = [(), (3,), (2, 3, 4)]


def noise(*shape, seed=1):
    return noise_like(torch.empty(*shape, dtype=F64), stream(seed))


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["number", "one for all", "one a row", "one an entry"])
def test_normal_is_pytorchs(shape, kind):
    x, mean = noise(5, *shape), noise(5, *shape, seed=2)
    std = {
        "number": 0.3,
        "one for all": torch.tensor(0.3, dtype=F64),
        "one a row": noise(5, seed=3).exp().view(5, *[1] * len(shape)),
        "one an entry": noise(5, *shape, seed=4).exp(),
    }[kind]
    p, theirs = Normal(mean, std), pytorch.Normal(mean, std)
    close(p.log_prob(x), sum_event(theirs.log_prob(x)))
    close(p.entropy(), sum_event(theirs.entropy().expand(mean.shape)))
    assert torch.equal(p.mode, mean)
    assert isinstance(p, Distribution)
    for tensor in (x, mean):
        tensor.requires_grad_()
    ours = torch.autograd.grad(Normal(mean, std).log_prob(x).sum(), (x, mean))
    for a, b in zip(ours, torch.autograd.grad(pytorch.Normal(mean, std).log_prob(x).sum(), (x, mean))):
        close(a, b)


def test_normal_samples(rng):
    mean = torch.tensor([[1.0], [-2.0]], dtype=F64).repeat(30_000, 1)
    x = Normal(mean, torch.tensor(0.7, dtype=F64)).sample(rng)
    normal_law(x[::2].flatten(), 1.0, 0.49)
    normal_law(x[1::2].flatten(), -2.0, 0.49)
    with pytest.raises(AssertionError, match=r"not N\("):
        normal_law(x.flatten(), -0.5, 0.49)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bernoulli_is_pytorchs(shape):
    logits = 3 * noise(5, *shape)
    x = (noise(5, *shape, seed=2) > 0).to(F64)
    p = Bernoulli(logits)
    close(p.log_prob(x), sum_event(pytorch.Bernoulli(logits=logits).log_prob(x)))
    assert torch.equal(p.mode, (logits.sigmoid() > 0.5).to(F64))
    assert isinstance(p, Distribution)


def test_bernoulli_samples(rng):
    logits = torch.tensor([-3.0, 0.0, 1.5], dtype=F64)
    x = Bernoulli(logits.expand(20_000, 3)).sample(rng)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    mean_is(x, logits.sigmoid())
    pairs = (x[:, :2] - logits.sigmoid()[:2]) * (x[:, 1:] - logits.sigmoid()[1:])
    mean_is(pairs, 0.0)  # entries are independent


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("std", [1.0, 0.6])
def test_the_normal_reference_is_pytorchs(shape, std, rng):
    p = StandardNormal(*shape, std=std).double()
    x = noise(5, *shape)
    close(p.log_prob(x), sum_event(pytorch.Normal(torch.zeros_like(x), std).log_prob(x)))
    assert p.sample(5, rng).shape == (5, *shape)
    normal_law(p.sample(20_000, rng).flatten()[:50_000], 0.0, std**2)
    assert isinstance(p, Reference)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_uniform_reference_is_pytorchs(shape, rng):
    p = Uniform(*shape, low=-2.0, high=0.5).double()
    x = p.sample(20_000, rng)
    assert x.shape == (20_000, *shape)
    same_law(x.flatten()[:50_000], stats.uniform(-2, 2.5).cdf)
    close(p.log_prob(x), sum_event(pytorch.Uniform(torch.tensor(-2.0, dtype=F64), 0.5).log_prob(x)))
    assert p.log_prob(torch.full((2, *shape), 9.0)).isfinite().all()  # flat everywhere: chains may leave the box
    assert isinstance(p, Reference)


@pytest.mark.parametrize("reference", [StandardNormal(3, std=2.0), Uniform(3)], ids=["normal", "uniform"])
def test_references_follow_the_type_they_are_moved_to(reference):
    assert reference.sample(2, stream(0)).dtype == torch.float32
    assert reference.double().sample(2, stream(0)).dtype == F64
    assert reference.state_dict() == {}
    assert list(reference.parameters()) == []


def test_a_followed_normal_has_the_moments_of_all_batches_far_from_zero_too():
    reference = FollowedNormal(3)
    z = noise(600, 3) @ torch.diag(torch.tensor([1.0, 0.2, 0.05], dtype=F64)) + 3000.0
    z[:200] -= 1.0  # the batches' means differ
    z = z.float()
    for part in z.split(200):
        reference.follow(part)
    close(reference.mean.double().round(decimals=2), z.double().mean(0).round(decimals=2))
    expected = torch.cov(z.double().T, correction=0)
    torch.testing.assert_close((reference.factor @ reference.factor.T).double(), expected, rtol=5e-3, atol=2e-3)


def test_a_followed_normal_keeps_its_factor_where_z_is_not_finite():
    reference = FollowedNormal(2)
    reference.follow(noise(50, 2).float())
    before = reference.factor.clone()
    reference.follow(torch.full((50, 2), math.nan))
    close(reference.factor, before)


def test_a_mixture_by_em_has_the_moments_of_its_clusters_far_from_zero_too(rng):
    law = EMMixture(2, 2)
    centres = torch.tensor([[1000.0, 0.0], [1010.0, 0.0]])
    z = (centres[:, None] + 0.5 * noise(2, 2000, 2).float()).flatten(0, 1)
    law.fit(z, rng=rng)
    torch.testing.assert_close(law.means.sort(0).values, centres.sort(0).values, rtol=0, atol=0.05)
    roots = torch.linalg.inv(law.whiteners)
    torch.testing.assert_close((roots @ roots.mT).float(), 0.25 * torch.eye(2).expand(2, 2, 2), rtol=0, atol=0.02)


def test_the_gaussian_generator_is_a_normal_around_its_network(rng):
    net = nn.Linear(2, 3).double()
    generator = GaussianGenerator(net, 0.3)
    z, x = noise(4, 2), noise(4, 3, seed=2)
    close(generator(z).log_prob(x), pytorch.Normal(net(z), 0.3).log_prob(x).sum(1))
    assert torch.equal(generator(z).mode, net(z))
    assert isinstance(generator, Conditional)


@pytest.mark.parametrize(
    "draw",
    [
        lambda n, rng: Normal(torch.zeros(n, 2), 1.0).sample(rng),
        lambda n, rng: Bernoulli(torch.zeros(n, 20)).sample(rng),
        lambda n, rng: StandardNormal(2).sample(n, rng),
        lambda n, rng: Uniform(2).sample(n, rng),
    ],
    ids=["Normal", "Bernoulli", "StandardNormal", "Uniform"],
)
def test_draws_follow_from_rng_alone_and_rows_are_their_own(draw):
    global_state = torch.get_rng_state()
    assert torch.equal(draw(5, stream(1)), draw(5, stream(1)))
    assert not torch.equal(draw(5, stream(1)), draw(5, stream(2)))
    assert torch.equal(draw(2, Streams(1, range(2))), draw(5, Streams(1, range(5)))[:2])
    assert torch.equal(global_state, torch.get_rng_state())


def test_sums_over_the_event():
    assert torch.equal(sum_event(torch.ones(2, 3, 4)), torch.full((2,), 12.0))
    assert torch.equal(sum_event(torch.tensor([1.0, 2.0])), torch.tensor([1.0, 2.0]))


# --- by hand -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "std", [0.5, torch.tensor([[0.5, 2.0, 1.0], [1.0, 1.0, 3.0]], dtype=F64)], ids=["number", "tensor"]
)
def test_the_divergence_from_a_standard_normal_is_pytorchs(std):
    mean = noise(2, 3)
    theirs = pytorch.kl_divergence(pytorch.Normal(mean, std), pytorch.Normal(torch.zeros_like(mean), 1.0))
    close(Normal(mean, std).kl_standard(), theirs.sum(1))


def test_a_box_has_the_density_of_its_volume_and_draws_all_over_it():
    box = Uniform(2, low=-1.0, high=3.0).double()
    assert box.log_prob(torch.zeros(5, 2, dtype=F64)).tolist() == pytest.approx([-2 * math.log(4)] * 5)
    assert box.log_prob(torch.full((1, 2), 9.0, dtype=F64)).tolist() == pytest.approx([-2 * math.log(4)])
    x = box.sample(20_000, stream(1))
    assert (x.min().item(), x.max().item(), x.mean().item()) == pytest.approx((-1, 3, 1), abs=0.05)


def test_clips_of_another_length_have_the_same_reference():
    normal = with_frames(StandardNormal(3, 4, 5, 6, std=0.5), 1)
    assert (normal.shape, normal.std) == ((3, 1, 5, 6), 0.5)
    box = with_frames(Uniform(3, 4, 5, 6, low=-2.0, high=1.0), 9)
    assert (box.shape, box.low, box.high) == ((3, 9, 5, 6), -2.0, 1.0)
    with pytest.raises(InputError, match=r"frames of at least 1 .* got 0 and StandardNormal"):
        with_frames(StandardNormal(3, 4, 5, 6), 0)


def test_an_inference_model_halves_its_log_variance_within_bounds():
    out = torch.tensor([[1.0, 2.0, 2.0, -9.0], [3.0, 4.0, 5.0, 0.0]], dtype=F64)
    q = GaussianInference(nn.Identity())(out)
    close(q.mean, out[:, :2])
    close(q.std, torch.tensor([[1.0, -4.0], [2.0, 0.0]], dtype=F64).exp())
    narrow = GaussianInference(nn.Identity(), (-1.0, 1.0))(out)
    close(narrow.std, torch.tensor([[0.5, -0.5], [0.5, 0.0]], dtype=F64).exp())


def test_a_fixed_share_splits_the_variance_between_mean_and_noise():
    inference = GaussianInference(nn.Identity(), share=0.6, latent=2).double()
    m = 5 + 3 * noise(50, 2)
    q = inference(m)
    close(q.std, torch.full((50, 2), 0.8, dtype=F64))
    close(q.mean.mean(0), torch.zeros(2, dtype=F64))
    torch.testing.assert_close(q.mean.var(0, correction=0), torch.full((2,), 0.36, dtype=F64), rtol=1e-5, atol=0)
    torch.testing.assert_close(inference.normalization.running_mean, 0.05 * m.mean(0))  # a running average over 20
    for share, latent, message in ((1.0, 2, "below 1, got 1"), (-0.1, 2, "at least 0"), (0.5, 0, "expected latent")):
        with pytest.raises(InputError, match=message):
            GaussianInference(nn.Identity(), share=share, latent=latent)
    with pytest.raises(InputError, match="at least 2 examples in a micro-batch"):
        inference(m[:1])
    assert inference.eval()(m[:1]).mean.shape == (1, 2)


def test_missing_entries_do_not_pull():
    p = Normal(torch.tensor([[1.0, 5.0]], dtype=F64, requires_grad=True), 0.5)
    x, mask = torch.tensor([[2.0, 99.0]], dtype=F64), torch.tensor([[1.0, 0.0]])
    found = observed_log_prob(p, x, mask)
    constant = -2 * math.log(0.5) - math.log(2 * math.pi)
    assert found.item() == pytest.approx(-0.5 * (1 / 0.5) ** 2 + constant)
    (pull,) = torch.autograd.grad(found.sum(), p.mean)
    assert pull.tolist() == [[4.0, 0.0]]
    assert observed_log_prob(p, x).item() == pytest.approx(-2 * (1 + 94**2) + constant)
