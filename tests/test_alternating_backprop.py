"""Alternating back-propagation: missing entries, a z in every layer, and recipes, against closed forms.

The linear model's gradient and posterior are tested with the latent prior's (test_latent_prior.py), the start that
remembers each example's z with the other starts (test_starts.py).
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from laws import covariance_is, mean_is
from torch import Tensor, nn

from absynth import recipes
from absynth.algorithms import AlternatingBackprop
from absynth.data import sets
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.errors import InputError
from absynth.networks.layered import Layered, layered_deconv, layered_mlp
from absynth.samplers import FromLast, Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch
from absynth.updates import update

F64 = torch.float64
SIGMA, DELTA = 0.6, 0.15
N = 6000


def linear(n_in: int, n_out: int, seed: int = 0, bias: bool = True) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(n_in, n_out, bias=bias).double()


def model(net: nn.Module, latent: int, steps: int = 300) -> AlternatingBackprop:
    return AlternatingBackprop(
        StandardNormal(latent).double(), GaussianGenerator(net, SIGMA), posterior_sampler=Langevin(steps, DELTA)
    )


def is_posterior(z: Tensor, w: Tensor, residual: Tensor) -> None:
    """z follows p(z|x) of x = Wz + b + σε, with the bias of the chain's step; residual is x − b."""
    eye = torch.eye(w.shape[1], dtype=F64)
    precision = eye + w.T @ w / SIGMA**2
    mean = torch.linalg.solve(precision, w.T @ residual / SIGMA**2)
    for j in range(len(mean)):
        mean_is(z[:, j], float(mean[j]))
    covariance_is(z, (precision @ (eye - DELTA**2 / 4 * precision)).inverse())


# --- missing entries ------------------------------------------------------------------------------------------------

X = torch.tensor([0.8, -1.1, 0.3, 1.9, -0.4], dtype=F64)
SEEN = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0], dtype=F64)


def test_the_posterior_given_the_observed_entries_is_that_of_a_model_of_those_alone():
    net = linear(2, 5)
    x, mask = X.expand(N, -1), SEEN.expand(N, -1)
    z = model(net, 2).sample_posterior(x, None, mask, rng=stream(1))
    w, b = net.weight.detach(), net.bias.detach()
    seen = SEEN.bool()
    is_posterior(z, w[seen], (X - b)[seen])
    with pytest.raises(AssertionError):  # all entries would tell more
        is_posterior(z, w, X - b)


def test_what_is_missing_is_never_looked_at():
    """Its values may be anything: not a bit of the chain, the loss or the gradient changes."""
    found = []
    for fill in (0.0, 1e3):
        net = linear(2, 5)
        x = torch.where(SEEN.bool(), X, fill).expand(8, -1)
        loss = model(net, 2, 5).losses(Batch(x, mask=SEEN.expand(8, -1)), rng=stream(1))["generator"]
        loss.backward()
        found.append((loss.detach(), net.weight.grad, net.bias.grad))
    for one, other in zip(*found):
        assert torch.equal(one, other)
    assert (found[0][2][~SEEN.bool()] == 0).all(), "a missing entry teaches its own bias nothing"
    assert (found[0][2][SEEN.bool()] != 0).all()


def test_a_linear_generator_learns_what_correlated_entries_tell_of_a_missing_one():
    """x_2 = −x_1 + noise, one of the two always hidden but in a tenth of the examples: recovery beats the mean."""
    rng = stream(3)
    first = torch.randn(500, 1, generator=rng, dtype=F64)
    x = torch.cat([first, -first, first], 1) + 0.1 * torch.randn(500, 3, generator=rng, dtype=F64)
    mask = torch.ones(500, 3, dtype=F64)
    mask[torch.arange(500), torch.arange(500) % 3] = 0
    abp = AlternatingBackprop(
        StandardNormal(1).double(),
        GaussianGenerator(linear(1, 3), 0.3),
        posterior_sampler=Langevin(5, 0.2),
        posterior_start=FromLast(500, StandardNormal(1).double(), rng=stream(4)).double(),
    )
    optimizers = {"generator": torch.optim.Adam(abp.generator.parameters(), 0.1)}
    index = torch.arange(500)
    for step in range(60):
        update(abp, optimizers, Batch(x, mask=mask, index=index), rng=stream(5, 0, step))
    abp.posterior_sampler = Langevin(100, 0.2)
    back = abp.generate(abp.sample_posterior(torch.where(mask.bool(), x, 7.0), None, mask, rng=stream(6)))
    hidden = mask == 0
    assert ((back - x)[hidden] ** 2).mean() < 0.3 * (x[hidden] ** 2).mean()


def test_a_recipe_hides_the_same_pixels_of_an_example_for_good():
    blank = (torch.arange(40 * 64) % 256).to(torch.uint8).view(40, 1, 8, 8).numpy()
    recipe = recipes.build(
        "alternating_backprop", blank, preset="mnist", missing=0.5, seed=3, batch=20, validation=0.0, limit=0
    )
    examples = recipe.examples.examples
    seen: dict[int, Tensor] = {}
    batches = recipe.batches()
    for _ in range(2 * examples // 20 + 1):  # two epochs
        batch = next(batches)
        assert batch.index is not None
        assert batch.mask is not None
        for i, mask in zip(batch.index.tolist(), batch.mask):
            assert torch.equal(seen.setdefault(i, mask), mask)
    share = torch.stack(list(seen.values())).mean()
    assert len(seen) >= examples - 20
    assert abs(share - 0.5) < 5 * 0.5 / (examples * 64) ** 0.5
    assert next(replace(recipe, missing=0.0).batches()).mask is None


# --- a z in every layer ---------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """A head that does not look: mean m, spread such that σ is what is asked for."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("moments", torch.cat([mean, std.expm1().log()]))  # softplus⁻¹

    def forward(self, h: Tensor) -> Tensor:
        return self.moments.expand(len(h), -1)


def test_one_chain_infers_the_noise_of_all_layers():
    """A linear two-layer generator is a linear one of both noises side by side: its posterior is known."""
    mean, std = torch.tensor([0.4, -0.2], dtype=F64), torch.tensor([0.7, 1.3], dtype=F64)
    stem, join, out = linear(2, 3, 1, bias=False), linear(2, 3, 2, bias=False), linear(3, 6, 3)
    net = Layered([2, 2], stem, [Constant(mean, std)], [join], [nn.Identity()], out)
    w = out.weight @ torch.cat([stem.weight, join.weight * std], 1)
    b = out.bias + out.weight @ join.weight @ mean
    x = noise_like(torch.empty(6, dtype=F64), stream(8))
    torch.testing.assert_close(net(torch.eye(4, dtype=F64)), w.T + b)
    z = model(net, 4).sample_posterior(x.expand(N, -1), rng=stream(1))
    is_posterior(z.detach(), w.detach(), (x - b).detach())


@pytest.mark.parametrize("net", [layered_mlp([4, 3, 2], 8, (1, 8, 8)), layered_deconv([4, 3, 2], 16, 2, 2)])
def test_every_layers_noise_matters_to_the_picture(net):
    noise = torch.randn(3, 9, generator=stream(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(net(noise).sum(), noise)
    assert (gradient != 0).all()


def test_a_layered_generator_wants_a_stage_for_each_layer():
    with pytest.raises(InputError, match="need 4 layers"):
        layered_deconv([4, 3], 32, 1, 2)
    with pytest.raises(InputError, match="one head, join and stage"):
        Layered([2, 2], nn.Identity(), [], [], [], nn.Identity())
    with pytest.raises(InputError, match="layered_mlp"):
        recipes.build("alternating_backprop", "digits", preset="mnist", latent=(4, 4)).algorithm()


# --- recipes --------------------------------------------------------------------------------------------------------


def test_the_start_of_a_recipe_is_its_own():
    remembers = recipes.build("alternating_backprop", "linear_factors", posterior_start="last").algorithm()
    assert isinstance(remembers.posterior_start, FromLast)
    assert remembers.posterior_start.chains.shape == (2000, 2)
    fresh = recipes.build("alternating_backprop", "linear_factors", posterior_start="noise").algorithm()
    assert not isinstance(fresh.posterior_start, FromLast)


def test_training_and_test_examples_of_the_linear_factors_share_their_law_and_nothing_else():
    data = sets.open("linear_factors")
    train, test = data.all(), data.split("test").all()
    assert train.shape == test.shape == (2000, 10)
    assert torch.equal(train, sets.open("linear_factors").all())
    assert not torch.equal(train, test)
    assert (train.mean(0) - test.mean(0)).abs().max() < 0.5
