"""Latent priors of sequences: the posterior of fixed rate, when players learn, and what z is measured to tell."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from absynth import recipes
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.algorithms.latent_prior import LatentPrior
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, Normal, StandardNormal
from absynth.errors import InputError
from absynth.experiments._sequences import decoder_nll, draw_decoder, log_mixture, train_decoder, what_z_tells
from absynth.networks.mlp import mlp_f
from absynth.samplers import Langevin
from absynth.seeding import stream
from absynth.types import Batch
from absynth.updates import Training, backward

SENTENCES = ["the cat sat on the mat", "a dog ran", "the dog sat", "a cat ran on a mat", "the mat", "on the dog"]


def text_recipe(tmp_path, **fields):
    file = tmp_path / "lines.txt"
    file.write_text("\n".join(f"{line} {i % 7}" for i in range(20) for line in SENTENCES) + "\n")
    return recipes.build("latent_prior", str(file), tiny=True, **{"share": 0.7, **fields}).resolve()


def draws(n: int = 4000) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(0))


# --- the posterior of fixed rate ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_the_rate_is_fixed_whatever_the_network_says(share: float):
    torch.manual_seed(0)
    net = nn.Linear(5, 3)
    nn.init.constant_(net.bias, 7.0)  # a shift of all means would be a KL that tells nothing
    net.requires_grad_(False)
    q = GaussianInference(net, share=share, latent=3)(draws())
    rate = -0.5 * math.log(1 - share**2)
    assert q.kl_standard().mean() == pytest.approx(3 * rate, rel=1e-4)
    z = q.sample(stream(0))
    assert z.mean(0).abs().max() < 0.06
    assert (z.var(0) - 1).abs().max() < 0.1
    learned = GaussianInference(nn.Linear(5, 6).requires_grad_(False))(draws())
    assert learned.kl_standard().mean() != pytest.approx(3 * rate, rel=0.05)


def test_in_evaluation_mode_each_example_is_encoded_by_itself():
    q = GaussianInference(nn.Linear(5, 3).requires_grad_(False), share=0.5, latent=3)
    for k in range(200):
        q(torch.randn(64, 5, generator=torch.Generator().manual_seed(k)))
    x = draws()
    whole, alone = q.eval()(x), q(x[:1])
    torch.testing.assert_close(whole.mean[:1], alone.mean)
    assert whole.kl_standard().mean() == pytest.approx(-1.5 * math.log(0.75), rel=0.05)
    assert "running_mean" in " ".join(q.state_dict())


def test_a_share_out_of_range_is_refused():
    for share in (1.0, -0.1):
        with pytest.raises(InputError, match="below 1"):
            GaussianInference(nn.Linear(5, 3), share=share, latent=3)
    with pytest.raises(InputError, match="expected latent"):
        GaussianInference(nn.Linear(5, 3), share=0.5)
    with pytest.raises(InputError, match="at least 2 examples"):
        GaussianInference(nn.Linear(5, 3), share=0.5, latent=3)(draws(1))
    with pytest.raises(InputError, match="share"):
        recipes.classes("latent_prior")["text"](share=1.0)


# --- who learns when ------------------------------------------------------------------------------------------------


def test_players_rest_at_a_rate_of_zero(tmp_path):
    """Of 8 updates the first 2 are without the prior, the last 2 the prior's alone."""
    recipe = text_recipe(tmp_path, steps=8, prior_after=0.25, prior_alone=0.25, energy_width=4)
    assert recipe.joint_updates() == 6
    assert [recipe.rate(k, "prior") for k in (0, 1, 2, 6, 7)] == [0, 0, 1, 1, 0.5]
    assert [recipe.rate(k, "generator") > 0 for k in (0, 5, 6, 7)] == [True, True, False, False]
    training, batches = Training(recipe, torch.device("cpu")), recipe.batches()
    moved = []
    for _ in range(recipe.steps):
        before = {k: [p.detach().clone() for p in m.parameters()] for k, m in training.players.items()}
        seen = training.learn(next(batches))
        training.advance()
        after = {k: list(m.parameters()) for k, m in training.players.items()}
        changed = {k for k in before if any(not torch.equal(a, b) for a, b in zip(before[k], after[k], strict=True))}
        moved.append(changed)
        assert set(seen["loss"]) == changed
    joint = {"generator", "inference"}
    assert moved == [joint] * 2 + [joint | {"prior"}] * 4 + [{"prior"}] * 2
    assert not training.algorithm.get_submodule("inference").training
    saved = training.state_dict()
    again = Training(recipe, torch.device("cpu"))
    again.load_state_dict(saved)
    assert all(torch.equal(v, again.algorithm.state_dict()[k]) for k, v in training.algorithm.state_dict().items())


def test_the_prior_s_chain_is_not_run_while_it_rests(tmp_path):
    recipe = text_recipe(tmp_path, steps=4, prior_after=0.5)
    training, batches = Training(recipe, torch.device("cpu")), recipe.batches()
    training.learn(next(batches))
    assert not training.algorithm.chains
    training.step = 3
    training.learn(next(batches))
    assert set(training.algorithm.chains) == {"prior"}


def test_gradients_of_the_generator_are_clipped(tmp_path):
    recipe = text_recipe(tmp_path, clip=1e-3)
    training = Training(recipe, torch.device("cpu"))
    seen = training.learn(next(recipe.batches()))
    training.advance()
    norm = nn.utils.get_total_norm([p.grad for p in training.players["generator"].parameters()])
    assert float(norm) == pytest.approx(1e-3, rel=1e-2)
    assert seen["gradient"]["generator"] > 1e-2


def test_without_a_share_the_posterior_is_a_chain_as_before(tmp_path):
    assert type(text_recipe(tmp_path, share=0.0, prior_after=0.0, prior_alone=0.0).algorithm()) is LatentPrior
    fixed = text_recipe(tmp_path).algorithm()
    assert type(fixed) is AmortizedLatentPrior
    assert fixed.get_submodule("inference").share == 0.7


def test_one_backward_pass_serves_players_of_one_loss():
    torch.manual_seed(1)
    model = AmortizedLatentPrior(
        EBM(mlp_f(2, 8, "silu"), StandardNormal(2)), GaussianGenerator(nn.Linear(2, 5), 0.5),
        GaussianInference(nn.Linear(5, 4)), prior_sampler=Langevin(2, 0.1), posterior_sampler=Langevin(2, 0.1),
    )  # fmt: skip
    batch, players = Batch(draws(16)), {k: model.get_submodule(k) for k in ("prior", "generator", "inference")}
    losses = model.losses(batch, rng=stream(3))
    assert losses["generator"] is losses["inference"]
    backward(losses, players)
    together = {k: p.grad.clone() for k, p in model.named_parameters()}
    model.zero_grad()
    apart, *_ = model.variational(batch, rng=stream(3))
    backward(apart, players)
    for name, p in model.named_parameters():
        torch.testing.assert_close(together[name], p.grad)


# --- what z tells ---------------------------------------------------------------------------------------------------


def test_the_mixture_s_density_is_the_mean_of_its_parts():
    mean, std, z = draws(7)[:, :3], draws(7)[:, 3:4].exp().expand(7, 3), draws(9)[2:7, :3]
    each = torch.stack([Normal(m[None], s[None]).log_prob(z) for m, s in zip(mean, std, strict=True)])
    torch.testing.assert_close(
        log_mixture(Normal(mean, std), z).float(), each.exp().mean(0).log(), rtol=1e-4, atol=1e-5
    )


class Told(nn.Module):
    """A linear Gaussian model whose information is known: z = γ x + √(1 − γ²) ε has −½ log(1 − γ²) nats of x."""

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.likelihood = GaussianGenerator(nn.Identity(), 1.0)

    def encode(self, x: torch.Tensor) -> Normal:
        return Normal(self.gamma * x + 1.0, torch.full_like(x, (1 - self.gamma**2) ** 0.5))


def test_a_shift_is_a_divergence_and_no_information():
    x, train = draws(3000)[:, :1], draws(3000)[:, 1:2]
    found = what_z_tells(Told(0.8), x, train, seed=0)
    assert found.information == pytest.approx(-0.5 * math.log(0.36), abs=0.05)
    assert found.kl == pytest.approx(-0.5 * math.log(0.36) + 0.5, abs=0.05)
    assert found.other > found.own + 0.5
    nothing = what_z_tells(Told(0.0), x, train, seed=0)
    assert abs(nothing.information) < 1e-3
    assert nothing.kl == pytest.approx(0.5, abs=1e-3)


def test_the_decoder_without_z_learns_the_text(tmp_path):
    recipe = text_recipe(tmp_path)
    x = recipe.examples.all()
    before = decoder_nll(train_decoder(recipe), x)
    trained = train_decoder(text_recipe(tmp_path, steps=150, generator_lr=3e-2))
    assert decoder_nll(trained, x) < 0.7 * before
    assert draw_decoder(trained, 5, rng=stream(0)).shape == (5, recipe.length)
