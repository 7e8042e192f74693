"""Learning to recover: what is hidden, where chains begin, and what f learns from."""

from __future__ import annotations

import pytest
import torch
from laws import covariance_is, mean_is
from small_models import learned_recovery

from absynth import recipes
from absynth.algorithms.learned_recovery import LearnedRecovery
from absynth.errors import InputError, Unsupported
from absynth.gaussian import FactorGaussian
from absynth.recipes.maximum_likelihood.voxels import MaximumLikelihoodVoxels
from absynth.seeding import noise_like, stream
from absynth.types import Batch

F64 = torch.float64


def test_factors_have_the_covariance_of_the_examples_and_give_the_conditional_mean():
    x = noise_like(torch.empty(50, 6, dtype=F64), stream(1)) @ noise_like(torch.empty(6, 6, dtype=F64), stream(2)) + 1
    law = FactorGaussian(6, rank=6, std=0.5).double().fit(x)
    covariance = (x - x.mean(0)).T @ (x - x.mean(0)) / 50
    draws = law.sample(4000, stream(3))
    mean_is(draws, x.mean(0))
    covariance_is(draws, covariance)
    known = torch.tensor([[1, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1]]).bool()
    y = x[:2]
    found = law.given(lambda v: torch.where(known, y, v), 2, stream(4))
    for row in range(2):
        k = known[row]
        inner = covariance[k][:, k] + 0.25 * torch.eye(3, dtype=F64)
        wanted = x.mean(0)[~k] + covariance[~k][:, k] @ torch.linalg.solve(inner, (y[row] - x.mean(0))[k])
        torch.testing.assert_close(found[row, ~k], wanted)
        assert torch.equal(found[row, k], y[row, k])
    few = FactorGaussian(6, rank=9, std=0.5).double().fit(x[:4])
    assert int(few.factors.norm(dim=1).gt(1e-9).sum()) == 3  # as many as four examples have
    with pytest.raises(Unsupported):
        law.log_prob(x)


def test_f_learns_from_the_data_against_their_parts_completed():
    model, x = learned_recovery(), noise_like(torch.empty(6, 1, 2, 4, 4, dtype=F64), stream(8)).clamp(-1, 1)
    loss = model.losses(Batch(x), rng=stream(1))["ebm"]
    rng = stream(1)
    seen = x + 0.1 * noise_like(x, rng)
    known, record = model.known(seen, rng=rng), model.chains["ebm"]
    x_neg = torch.where(known, seen, record.end)
    f = model.ebm().f
    torch.testing.assert_close(loss, f(x_neg).mean() - f(seen).mean())
    assert torch.equal(torch.where(known, record.start, seen), seen), "chains begin at what is known"
    assert not torch.equal(record.log_density(x_neg), model.ebm().log_density(x_neg.flip(0)))
    torch.testing.assert_close(record.log_density(record.end), model.ebm().log_density(x_neg))


def test_each_kind_is_hidden_in_its_share():
    model, x, rng = learned_recovery(), torch.zeros(3, 1, 2, 4, 4, dtype=F64), stream(5)
    masks = torch.cat([model.known(x, rng=rng) for _ in range(200)]).flatten(1).double()
    block = masks.new_tensor([1.0] * 16 + [0.0] * 16)
    blocks = (masks == block).all(1)
    assert 60 < int(blocks.sum()) < 140
    assert abs(float(masks[~blocks].mean()) - 0.5) < 0.06


def test_the_recipe_begins_at_the_gaussian_and_says_what_it_hides():
    x = torch.zeros(30, 16, 16, 16, dtype=torch.uint8)
    for i in range(30):
        x[i, 2 : 6 + i % 8, 3:12, 4 : 8 + i % 5] = 1
    recipe = recipes.build("maximum_likelihood", x.numpy(), tiny=True, recover="both", start="gaussian")
    assert isinstance(recipe, MaximumLikelihoodVoxels)
    model = recipe.algorithm()
    assert isinstance(model, LearnedRecovery)
    assert model.holes == {"pixels": 0.7, "block": 0.5}
    assert isinstance(model.initial_distribution, FactorGaussian)
    assert float(model.initial_distribution.factors.abs().max()) > 0


def test_bad_input_is_one_line():
    model = learned_recovery()
    with pytest.raises(InputError, match="no holes"):
        LearnedRecovery(model.ebm, start=model.start, sampler=model.sampler, holes={})
    with pytest.raises(InputError, match="rank of at least 1"):
        FactorGaussian(3, rank=0, std=1.0)
