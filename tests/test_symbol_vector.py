"""The laws of symbol-vector coupling, exactly: joint, marginal, posterior of the symbol; one symbol is no symbol."""

from __future__ import annotations

import math

import pytest
import torch
from laws import mean_is
from torch import Tensor, nn
from torch.nn import functional

from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.algorithms.information_bottleneck import InformationBottleneck, mutual_information
from absynth.algorithms.symbol_vector import UNLABELLED, SymbolF, SymbolVector
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, Normal, StandardNormal
from absynth.errors import InputError
from absynth.metrics.grid import Grid
from absynth.networks.mlp import mlp, mlp_f
from absynth.samplers import Langevin, Persistent
from absynth.seeding import noise_like, stream
from absynth.types import Batch
from absynth.updates import update

F64 = torch.float64
SHORT = Langevin(3, 0.2)
GRID = Grid(-8.0, 8.0, 161, 2)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return noise_like(torch.empty(*shape, dtype=F64), stream(seed))


X = noise(12, 5, seed=3)
HALF = torch.tensor([0, 1, 2, -1, -1, -1] * 2)


def made(symbols: int = 3, kind=SymbolVector, seed: int = 1, **options) -> SymbolVector:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(
            EBM(SymbolF(mlp([2, 8, symbols], "silu")), StandardNormal(2)).double(),
            GaussianGenerator(mlp([2, 8, 5], "silu"), 0.5).double(),
            GaussianInference(mlp([5, 8, 4], "silu")).double(),
            prior_sampler=SHORT,
            posterior_sampler=SHORT,
            **options,
        )


def test_symbol_and_vector_share_one_joint_law():
    """Σ_y p(y, z) = p(z); p(y|z) = p(y, z) / p(z); p(z|y) ∝ p(y, z): by sums over symbols and over a grid."""
    model = made()
    z = GRID.points
    labels = [torch.full((len(z),), y) for y in range(3)]
    joint = torch.stack([model.prior(y).log_density(z) for y in labels], 1).detach()
    marginal = model.prior().log_density(z).detach()
    torch.testing.assert_close(joint.logsumexp(1), marginal)
    torch.testing.assert_close((joint - marginal[:, None]).exp(), model.symbol_scores(z).softmax(1).detach())
    log_z = GRID.log_integral(lambda x: model.prior().log_density(x).detach())
    mass = torch.stack([GRID.log_integral(lambda x, y=y: model.prior(y).log_density(x).detach()) for y in labels])
    torch.testing.assert_close((mass - log_z).exp().sum(), torch.tensor(1.0, dtype=F64))  # p(y) sums to one


def test_the_conditional_density_is_that_symbols_score():
    model, z = made(), noise(12, 2)
    scores = functional.pad(model.symbol_scores(z), (0, 1))
    expected = scores[torch.arange(12), HALF].where(HALF != UNLABELLED, model.prior().f(z))
    torch.testing.assert_close(model.prior(HALF).f(z), expected)


def test_conditional_chains_follow_the_symbol():
    """F^y(z) = w_y · z makes p(z|y) = N(w_y, I); the marginal's short run has their mean instead."""
    model = made()
    net = nn.Linear(2, 3, bias=False, dtype=F64)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0]]))
    model.prior.f.net = net
    model.prior_sampler = Langevin(60, 0.4)
    y = torch.arange(3).repeat(2000)
    z = model.sample_prior(6000, y, rng=stream(2))
    shrink = 1 - (1 - 0.08) ** 60  # K steps from N(0, I) towards the mean
    for k in range(3):
        mean_is(z[y == k], shrink * net.weight[k].detach())
    with pytest.raises(AssertionError):
        mean_is(model.sample_prior(2000, None, rng=stream(2)), shrink * net.weight[0].detach())


def test_labelled_examples_learn_from_draws_under_their_own_label():
    """The prior's loss is F^y(z⁻) − F^y(z⁺) with z⁻ of p(z|y), f where no label is known; q's bound has F^y too."""
    model, rng = made(contrast="label", label_weight=0.0), stream(6)
    losses = model.losses(Batch(X, y=HALF), rng=stream(6))
    q = model.encode(X)
    z_pos = q.sample(rng)
    z_neg = model.sample_prior(len(X), HALF, rng=rng)
    f = model.prior(HALF).f
    torch.testing.assert_close(losses["prior"], f(z_neg).mean() - f(z_pos).mean())
    bound = -model.likelihood(z_pos).log_prob(X).mean() + q.kl_standard().mean() - f(z_pos).mean()
    torch.testing.assert_close(losses["inference"], bound)
    plain = made(label_weight=0.0).losses(Batch(X, y=HALF), rng=stream(6))
    assert not torch.isclose(losses["prior"], plain["prior"])
    unknown = Batch(X, y=torch.full_like(HALF, UNLABELLED))
    torch.testing.assert_close(model.losses(unknown, rng=stream(6))["prior"], plain["prior"])


def test_the_cross_entropy_is_taken_at_a_draw_or_at_the_mean():
    q, known = made().encode(X), HALF != UNLABELLED
    z = q.sample(stream(7))
    for labels_at, at in (("draw", z), ("mean", q.mean)):
        model = made(labels_at=labels_at, label_weight=2.0)
        expected = 2 * functional.cross_entropy(model.symbol_scores(at[known]), HALF[known])
        torch.testing.assert_close(model.symbol_loss(q, z, HALF), expected)


def test_the_generator_does_not_hear_the_symbol():
    model, z = made(), noise(12, 2)
    torch.testing.assert_close(model.likelihood(z, HALF).mode, model.generator(z).mode)
    joint = model.prior(HALF).log_density(z) + model.generator(z).log_prob(X)
    torch.testing.assert_close(model.posterior(X, HALF)(z), joint)


def test_sampling_under_a_symbol_gives_examples_of_it():
    model = made()
    both = [model.sample(6, torch.full((6,), y), rng=stream(3)) for y in (0, 1)]
    assert both[0].shape == (6, 5)
    assert not torch.equal(both[0], both[1])
    unknown = model.sample(6, torch.full((6,), UNLABELLED), rng=stream(3))
    torch.testing.assert_close(unknown, model.sample(6, rng=stream(3)))


# --- one symbol -----------------------------------------------------------------------------------------------------


class Bare(nn.Module):
    """F^1 alone, as a plain f."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)[:, 0]


def test_one_symbol_is_the_plain_latent_prior_bit_for_bit():
    model = made(1)
    prior = EBM(Bare(model.prior.f.net), model.prior.reference)
    plain = AmortizedLatentPrior(prior, model.generator, model.inference, prior_sampler=SHORT, posterior_sampler=SHORT)
    z = noise(9, 2)
    assert torch.equal(model.prior().f(z), plain.prior().f(z))
    ours, theirs = (m.variational(Batch(X), rng=stream(4))[0] for m in (model, plain))
    assert ours.keys() == theirs.keys()
    for player, loss in ours.items():
        assert torch.equal(loss, theirs[player])
        parameters = list(plain.get_submodule(player).parameters())
        for a, b in zip(*(torch.autograd.grad(m[player], parameters, retain_graph=True) for m in (ours, theirs))):
            assert torch.equal(a, b)
    assert torch.equal(model.sample(5, rng=stream(5)), plain.sample(5, rng=stream(5)))
    labels = torch.zeros(5, dtype=torch.int64)
    assert torch.equal(model.sample(5, labels, rng=stream(5)), plain.sample(5, rng=stream(5)))


def test_two_symbols_are_not():
    model = made(2)
    z = noise(9, 2)
    assert not torch.equal(model.prior().f(z), Bare(model.prior.f.net)(z))


# --- labels ---------------------------------------------------------------------------------------------------------


def test_without_labels_the_loss_is_that_of_the_marginal():
    model = made(label_weight=7.0)
    bare = model.losses(Batch(X), rng=stream(6))
    unknown = model.losses(Batch(X, y=torch.full((12,), UNLABELLED)), rng=stream(6))
    assert {k: v.item() for k, v in bare.items()} == {k: v.item() for k, v in unknown.items()}


def test_labels_add_their_cross_entropy_to_prior_and_inference_alone():
    model = made(label_weight=7.0)
    bare, given = (model.losses(Batch(X, y=c), rng=stream(6)) for c in (None, HALF))
    log_p = model.classify(X)
    expected = -7.0 * torch.stack([log_p[i, y] for i, y in enumerate(HALF.tolist()) if y != UNLABELLED]).mean()
    for player in ("prior", "inference"):
        torch.testing.assert_close(given[player] - bare[player], expected)
    assert torch.equal(given["generator"], bare["generator"])


def test_a_labelled_bound_is_the_joint_one():
    """With λ = 1 and q a point, minus the loss of a labelled example is log p(x, y, z) up to log Z and q's entropy."""
    model = made()
    with torch.no_grad():
        model.inference.net[-1].bias[2:] = -40.0  # log variance at its lower bound: z is the mean, nearly
        model.inference.net[-1].weight[2:] = 0.0
    y = torch.tensor([0, 1, 2] * 4)
    losses = model.losses(Batch(X, y=y), rng=stream(7))
    q = model.inference(X)
    entropy = q.entropy().mean()
    joint = model.posterior(X, y)(q.mean).mean()
    assert (losses["inference"] + entropy + joint).abs().item() < 0.3  # z differs from the mean by a std of e^-4
    wrong = model.posterior(X, y.roll(1))(q.mean).mean()
    assert (wrong - joint).abs() > 1e-3


def test_classes_are_probabilities():
    log_p = made().classify(X)
    assert log_p.shape == (12, 3)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(12, dtype=F64))


def test_labels_alone_can_be_learned():
    """Two clouds, one label each: the class head reads the rest."""
    centers = torch.tensor([[2.0] * 5, [-2.0] * 5], dtype=F64)
    truth = torch.arange(2).repeat(60)
    x = centers[truth] + 0.3 * noise(120, 5)
    y = torch.full((120,), UNLABELLED)
    y[:2] = truth[:2]
    model = made(2, label_weight=10.0)
    optimizers = {
        k: torch.optim.Adam(model.get_submodule(k).parameters(), 1e-2)
        for k in model.losses(Batch(x, y=y), rng=stream(0))
    }
    for k in range(60):
        update(model, optimizers, Batch(x, y=y), rng=stream(8, 0, k))
    assert (model.classify(x).argmax(1) == truth).double().mean() > 0.95


def test_a_plain_f_is_refused():
    with pytest.raises(InputError, match="SymbolF"):
        SymbolVector(
            EBM(mlp_f(2, 8), StandardNormal(2)),
            GaussianGenerator(mlp([2, 5]), 0.5),
            GaussianInference(mlp([5, 4])),
            prior_sampler=SHORT,
            posterior_sampler=SHORT,
        )


def test_persistent_chains_of_the_prior_go_on():
    start = Persistent(20, StandardNormal(2).double(), rng=stream(9))
    start.chains = start.chains.double()
    model = made(prior_start=start)
    before = model.prior_start.chains.clone()
    model.losses(Batch(X), rng=stream(1))
    assert (model.prior_start.chains != before).any(1).sum() == 12


# --- free nats ------------------------------------------------------------------------------------------------------


def test_free_nats_hold_a_coordinate_that_is_used_and_leave_alone_one_that_is_not():
    q = Normal(torch.tensor([[0.1, 3.0]], dtype=F64), torch.tensor([[1.0, 0.2]], dtype=F64))
    each = [0.5 * 0.01, 0.5 * (9 + 0.04 - 1) - math.log(0.2)]
    assert made().divergence(q).item() == pytest.approx(sum(each))
    assert made(free_nats=1.0).divergence(q).item() == pytest.approx(1.0 + each[1])
    twice = Normal(q.mean.repeat(2, 1), q.std.repeat(2, 1))
    assert made(free_nats=1.0).divergence(twice).item() == pytest.approx(1.0 + each[1])


# --- mutual information ---------------------------------------------------------------------------------------------


def test_information_of_symbols_that_say_nothing_and_of_those_that_say_all():
    uniform, sure = torch.zeros(8, 4, dtype=F64), 1e3 * torch.eye(4, dtype=F64).repeat(2, 1)
    assert mutual_information(uniform).item() == pytest.approx(0.0, abs=1e-12)
    assert mutual_information(sure).item() == pytest.approx(math.log(4))
    assert mutual_information(sure[:1].repeat(8, 1)).item() == pytest.approx(0.0, abs=1e-12)  # one symbol for all


def test_information_agrees_with_the_joint_table():
    """I(i, y) = Σ p(i, y) log p(i, y) / (p(i) p(y)), i uniform over the batch."""
    scores = noise(6, 4)
    p = scores.softmax(1) / 6
    outer = p.sum(1, keepdim=True) * p.sum(0, keepdim=True)
    torch.testing.assert_close(mutual_information(scores), (p * (p / outer).log()).sum())


def test_information_has_a_finite_gradient_where_a_symbol_is_dead():
    scores = torch.tensor([[1e4, 0.0, -1e4], [0.0, 1e4, -1e4]], dtype=F64, requires_grad=True)
    (gradient,) = torch.autograd.grad(mutual_information(scores), scores)
    assert gradient.isfinite().all()


def test_repeated_labels_stay_out_of_the_bound():
    """Bound and information are those of the unlabelled rows; labelled ones add their label's part alone."""
    for kind, options in ((SymbolVector, {}), (InformationBottleneck, {"information_weight": 5.0})):
        model = made(kind=kind, label_weight=3.0, labelled_in_bound=False, **options)
        few = HALF != UNLABELLED
        losses = model.losses(Batch(X, y=HALF), rng=stream(6))
        bound = model.losses(Batch(X[~few]), rng=stream(6))
        own = -3.0 * model.classify(X[few]).gather(1, HALF[few][:, None]).mean()
        torch.testing.assert_close(losses["generator"], bound["generator"])
        for player in ("prior", "inference"):
            torch.testing.assert_close(losses[player], bound[player] + own)
        repeated = torch.cat([X, X[few]]), torch.cat([HALF, HALF[few]])  # more of the same labels change nothing
        again = model.losses(Batch(repeated[0], y=repeated[1]), rng=stream(6))
        torch.testing.assert_close(again["inference"], losses["inference"])
        with_all = made(kind=kind, label_weight=3.0, **options).losses(Batch(X, y=HALF), rng=stream(6))
        assert (with_all["generator"] - losses["generator"]).abs() > 1e-3, "the two weightings differ"
    with pytest.raises(InputError, match="labelled_in_bound"):
        made(contrast="label", labelled_in_bound=False)


def test_the_bottleneck_subtracts_its_information_from_prior_and_inference():
    with_term, without = (made(kind=InformationBottleneck, information_weight=w) for w in (5.0, 0.0))
    ours, bare = (m.losses(Batch(X), rng=stream(6)) for m in (with_term, without))
    _, _, z = with_term.variational(Batch(X), rng=stream(6))
    expected = -5.0 * mutual_information(with_term.symbol_scores(z))
    for player in ("prior", "inference"):
        torch.testing.assert_close(ours[player] - bare[player], expected)
    assert torch.equal(ours["generator"], bare["generator"])
    plain = made().losses(Batch(X), rng=stream(6))
    assert {k: v.item() for k, v in bare.items()} == {k: v.item() for k, v in plain.items()}
