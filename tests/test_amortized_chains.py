"""Latent priors whose chains start at a diffusion model, whose reference is a fitted mixture, and trimmed ensembles."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import small_models as m
import torch
from cases import CASES, F64, vectors
from scipy import stats
from torch import Tensor
from torch.nn.functional import softplus

from absynth.algorithms.diffusion_amortized import DiffusionAmortized
from absynth.algorithms.mixture_prior import MixturePrior
from absynth.algorithms.perturbations import GaussianNoise
from absynth.algorithms.trimmed_ensemble import HeavyTails, TrimmedEnsemble
from absynth.errors import InputError, Unsupported
from absynth.networks.ensemble import Ensemble
from absynth.networks.latent_diffusion import LatentDiffusion
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream


def made(factory):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return factory()


# --- a diffusion model of z -----------------------------------------------------------------------------------------


def test_both_chains_begin_at_the_slow_model_and_half_of_the_priors_at_the_reference():
    model: DiffusionAmortized = made(m.diffusion_amortized)
    batch = vectors(7)
    model.losses(batch, rng=stream(1))
    rng = stream(1)
    z0 = model.slow.sample(7, batch.x, rng=rng)
    prior, posterior = model.chains["prior"], model.chains["posterior"]
    assert torch.equal(posterior.start, z0)
    assert torch.equal(prior.start[:4], z0[:4])
    assert not torch.isin(prior.start[4:], z0).any()
    assert prior.sampler is model.prior_sampler
    model.sample_prior(5, rng=stream(2))
    assert torch.equal(model.chains["prior"].start, model.slow.sample(5, rng=stream(2)))


def test_the_priors_chains_begin_at_posterior_draws_where_asked():
    model: DiffusionAmortized = made(m.diffusion_amortized)
    model.negative_start = "posterior"
    model.losses(vectors(7), rng=stream(1))
    assert torch.equal(model.chains["prior"].start, model.chains["posterior"].end)


def test_generator_and_amortizer_learn_from_the_posterior_draws():
    model: DiffusionAmortized = made(m.diffusion_amortized)
    batch = vectors(6)
    losses = model.losses(batch, rng=stream(1))
    z = model.chains["posterior"].end
    torch.testing.assert_close(losses["generator"], -model.generator(z).log_prob(batch.x).mean())
    torch.testing.assert_close(model.amortizer.moments.mean, z.mean(0))
    model.drop = 1.0  # Q(z) alone learns
    loss = model.losses(batch, rng=stream(1))["amortizer"]
    found = torch.autograd.grad(loss, list(model.amortizer.encoder.parameters()), allow_unused=True)
    assert all(g is None or not g.any() for g in found)


def test_the_slow_model_follows_by_a_share():
    model: DiffusionAmortized = made(m.diffusion_amortized)
    before = [p.clone() for p in model.slow.parameters()]
    with torch.no_grad():
        for p in model.amortizer.parameters():
            p.add_(1.0)
        model.amortizer.moments.mean.fill_(3.0)
    model.follow()
    for p, old in zip(model.slow.parameters(), before, strict=True):
        torch.testing.assert_close(p, old + model.average)
    assert (model.slow.moments.mean == 3.0).all()
    assert not any(p.requires_grad for p in model.slow.parameters())
    for wrong in ({"average": 0.0}, {"drop": 1.5}, {"average": 1.1}, {"drop": 0.0}):
        with pytest.raises(InputError, match="in \\(0, 1\\]"):
            DiffusionAmortized(
                model.prior, model.generator, model.amortizer, prior_sampler=m.SHORT, posterior_sampler=m.SHORT, **wrong
            )


def constant_velocity(q: LatentDiffusion, factor: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Replace the network by v = factor(a, s) u."""

    def velocity(u: Tensor, level: Tensor, h: Tensor | None) -> Tensor:
        a, s = q.scales(level)
        return factor(a, s) * u

    q.velocity = velocity  # type: ignore[method-assign]


@pytest.mark.parametrize("steps", [3, 20, 100])
def test_a_diffusion_that_predicts_nothing_draws_no_wider_than_its_moments(steps):
    """At first: chains that start at wider draws would widen the moments in turn, without end."""
    q = LatentDiffusion(2, steps=steps).double()
    q.moments.follow(torch.tensor([[1.0, -4.0], [3.0, 4.0], [5.0, 0.0]], dtype=F64))
    constant_velocity(q, lambda a, s: 0 * a)
    z = q.sample(4000, rng=stream(0))
    scale = q.moments.whiten(z).std(0)
    assert (scale < 1.03).all()
    assert (scale > {3: 0.1, 20: 0.85, 100: 0.95}[steps]).all()


def test_a_diffusion_draws_a_known_gaussian_and_its_loss_is_the_closed_form():
    """Whitened z ~ N(0, τ² I): E[v | u] = a s (1 − τ²) u / (a² τ² + s²), with error τ² / (a² τ² + s²)."""
    q, tau2 = LatentDiffusion(2, steps=400).double(), 0.25
    for _ in range(3):
        q.moments.follow(torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=F64))
    constant_velocity(q, lambda a, s: a * s * (1 - tau2) / (a.square() * tau2 + s.square()))
    u = q.moments.whiten(q.sample(4000, rng=stream(0)))
    torch.testing.assert_close(u.std(0), torch.full((2,), tau2**0.5, dtype=F64), rtol=0.04, atol=0)
    z = q.moments.unwhiten(tau2**0.5 * noise_like(torch.empty(40_000, 2, dtype=F64), stream(1)))
    a, s = q.scales(torch.linspace(0, 1, 2001, dtype=F64))
    expected = (tau2 / (a.square() * tau2 + s.square())).mean()
    torch.testing.assert_close(q.loss(z, rng=stream(2)), expected, rtol=0.02, atol=0)


# --- a mixture of Gaussians for reference ---------------------------------------------------------------------------


def mixture(progress: float) -> MixturePrior:
    model = made(m.mixture_prior)
    model.set_progress(progress)
    return model


def test_the_latest_posterior_draws_are_stored():
    model = mixture(0.0)
    assert len(model.collected()) == 0
    rows = torch.arange(30, dtype=F64).view(15, 2)
    for part in rows.split(5):
        model.store(part)
    assert int(model.stored) == 15
    assert {tuple(r) for r in model.collected().tolist()} == {tuple(r) for r in rows[3:].tolist()}


def test_each_phase_has_its_learners():
    """Generator and inference; then draws are stored; then the mixture is fitted once and f learns."""
    first = mixture(0.49)
    losses = first.losses(vectors(6), rng=stream(1))
    z = first.chains["posterior"].end
    torch.testing.assert_close(losses["generator"], -first.generator(z).log_prob(vectors(6).x).mean())
    torch.testing.assert_close(losses["inference"], -first.inference(vectors(6).x).log_prob(z).mean())
    assert losses["prior"] == 0
    assert int(first.stored) == 0

    second = mixture(0.5)
    assert all(loss == 0 for loss in second.losses(vectors(6), rng=stream(1)).values())
    assert torch.equal(second.collected(), second.chains["posterior"].end)
    assert not second.prior.reference.fitted

    third = mixture(0.6)
    assert third.losses(vectors(3), rng=stream(1))["prior"] == 0  # fewer than two draws for each component
    assert third.losses(vectors(3), rng=stream(1))["prior"] > 0
    assert third.prior.reference.fitted
    means = third.prior.reference.means.clone()
    losses = third.losses(vectors(6), rng=stream(2))
    assert torch.equal(third.prior.reference.means, means)
    assert losses["generator"] == losses["inference"] == 0


def test_f_tells_stored_draws_from_those_of_the_mixture():
    model = mixture(0.7)
    model.contrasts = 400
    stored = noise_like(torch.empty(7, 2, dtype=F64), stream(3))
    model.store(stored)
    seen: list[Tensor] = []
    f = model.prior.f
    handle = f.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    loss = model.contrast(rng=stream(4))
    handle.remove()
    pos, neg = seen
    assert {tuple(r) for r in pos.tolist()} == {tuple(r) for r in stored.tolist()}  # every one, and none beyond
    assert neg.shape == pos.shape
    torch.testing.assert_close(loss, softplus(-f(pos)).mean() + softplus(f(neg)).mean())
    for wrong in ((0.7, 0.6), (-0.1, 0.5), (0.5, 1.1)):
        with pytest.raises(InputError, match="rise within"):
            MixturePrior(
                model.prior, model.generator, model.inference, prior_sampler=m.SHORT, posterior_sampler=m.SHORT,
                phases=wrong,
            )  # fmt: skip


# --- trimmed ensembles ----------------------------------------------------------------------------------------------


def test_heavy_tails_are_students_t_and_a_parabola_beyond_four():
    scale = torch.tensor([0.5, 2.0], dtype=F64)
    p = HeavyTails(scale)
    x = torch.tensor([[0.0, 0.0], [1.0, -2.0], [3.9, -3.9], [5.0, 0.0], [0.0, -6.0]], dtype=F64)
    t = torch.from_numpy(stats.t(4).logpdf((x / scale).numpy()) - stats.t(4).logpdf(0.0))
    beyond = torch.tensor([0.0, 0.0, 0.0, 1.0, 4.0], dtype=F64)
    torch.testing.assert_close(p.log_prob(x), t.sum(1) - beyond)
    with pytest.raises(Unsupported, match="draws none"):
        p.sample(3, stream(0))


def test_every_member_learns_as_if_it_were_alone():
    """The loss is the sum over members, each trimmed by its own log density."""
    torch.manual_seed(0)
    both = Ensemble(5, 8, 2).double()
    reference, x = HeavyTails(torch.ones(5, dtype=F64)), vectors(8)

    def loss(net: Ensemble, trim: float = 0.25) -> Tensor:
        model = TrimmedEnsemble(net, reference, perturb=GaussianNoise(0.2), trim=trim, contrasts=4)
        return model.losses(x, rng=stream(1))["ebm"]

    parts = []
    for k in range(2):
        alone = Ensemble(5, 8, 1).double()
        alone.load_state_dict({name: v[k : k + 1] for name, v in both.state_dict().items()})
        parts.append(loss(alone))
    torch.testing.assert_close(loss(both), sum(parts))
    assert not torch.isclose(loss(both), loss(both, trim=0.5))
    model = TrimmedEnsemble(both, reference, perturb=GaussianNoise(0.2))
    torch.testing.assert_close(model.log_density()(x.x), both.each(x.x) + reference.log_prob(x.x))
    assert math.isclose(model.trim, 0.25)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_half_of_the_priors_chains_start_at_the_amortizer_and_half_at_the_reference(n):
    model, batch = CASES["DiffusionAmortized"].build(), CASES["DiffusionAmortized"].batch(n)
    model.prior_sampler = model.posterior_sampler = Langevin(1, 1e-9)
    for start, same in (("posterior", n), ("both", (n + 1) // 2)):
        model.negative_start = start
        z_neg, z_pos = model.synthesize(batch, rng=stream(1))
        assert z_neg.shape == z_pos.shape
        equal = torch.isclose(z_neg, z_pos, atol=1e-6).all(1)
        assert equal.tolist() == [k < same for k in range(n)]
