"""Methods with an inference model: their gradients against closed forms of the linear-Gaussian case and quadrature."""

from __future__ import annotations

import math

import laws
import pytest
import torch
from torch import Tensor, nn

from absynth import checkpoint, recipes
from absynth.algorithms import VAE, DivergenceTriangle, JointVAE, VariationalTeaching
from absynth.algorithms.generator_model import GeneratorModel
from absynth.data import sets
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, Normal, StandardNormal
from absynth.errors import InputError, Unsupported
from absynth.metrics.grid import Grid
from absynth.networks.mlp import mlp
from absynth.networks.towers import TowersF, conv_towers, mlp_towers
from absynth.recipes.divergence_triangle import PRESETS, DivergenceTriangleRecipe
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.tasks import detect
from absynth.training import fit
from absynth.types import Batch
from absynth.updates import backward

F64 = torch.float64
STD = 0.5
N = 500
"""Examples a batch."""
BATCHES = 200
LATENT = StandardNormal(1).double()
X = noise_like(torch.empty(N, 1, dtype=F64), stream(11)) * 1.3 + 0.4
"""The data, fixed: a law of their own, on which every expectation over data is a mean."""


class Quadratic(nn.Module):
    """f(x) = a x − b x²/2, whose log Z is known under a normal reference."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.3, dtype=F64))
        self.b = nn.Parameter(torch.tensor(0.4, dtype=F64))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        shift = 0.0 if c is None else c[:, 0]
        return (self.a * x[:, 0] - 0.5 * self.b * x[:, 0] ** 2) * (1.0 + shift)


class Bilinear(nn.Module):
    """f(x, z) = a x z − b (x² + z²)/2."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.3, dtype=F64))
        self.b = nn.Parameter(torch.tensor(0.4, dtype=F64))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.a * x[:, 0] * z[:, 0] - 0.5 * self.b * (x[:, 0] ** 2 + z[:, 0] ** 2)


class Line(nn.Module):
    """z ↦ w z + k."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.8, dtype=F64))
        self.k = nn.Parameter(torch.tensor(0.2, dtype=F64))

    def forward(self, z: Tensor) -> Tensor:
        return self.w * z + self.k


class LineInference(nn.Module):
    """x ↦ (m x + h, log s²)."""

    def __init__(self) -> None:
        super().__init__()
        self.m = nn.Parameter(torch.tensor(0.5, dtype=F64))
        self.h = nn.Parameter(torch.tensor(-0.1, dtype=F64))
        self.log_variance = nn.Parameter(torch.tensor(-0.7, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.m * x + self.h, self.log_variance.expand(len(x), 1)], 1)


def players() -> tuple[EBM, GaussianGenerator, GaussianInference]:
    return (
        EBM(Quadratic(), StandardNormal(1, std=2.0).double()),
        GaussianGenerator(Line(), STD),
        GaussianInference(LineInference()),
    )


# --- what the losses must descend, in closed form -------------------------------------------------------------------


def bound(model: GeneratorModel, x: Tensor) -> Tensor:
    """Minus the evidence lower bound of the linear-Gaussian model, the mean over x, without a draw."""
    line, q = model.generator.net, model.inference(x)
    squares = (x - line.w * q.mean - line.k) ** 2 + line.w**2 * q.std**2
    error = squares / (2 * STD**2) + math.log(STD) + 0.5 * math.log(2 * math.pi)
    return (error + 0.5 * (q.mean**2 + q.std**2 - 1) - q.std.log()).mean()


NODES = torch.linspace(-8, 8, 801, dtype=F64)[:, None]
WEIGHTS = (-0.5 * NODES[:, 0] ** 2).exp() / (-0.5 * NODES[:, 0] ** 2).exp().sum()


def triangle(model: DivergenceTriangle, third: float = -1.0) -> Tensor:
    """Δ = KL(Q‖P) + KL(P‖Π) ``third`` KL(Q‖Π), up to constants, with log Z by quadrature."""
    ebm, x = model.ebm(), X
    log_z = Grid(-12, 12, 2001, 1).log_integral(ebm.log_density)
    initial = model.generator(NODES).mode
    log_pi = ebm.log_density(initial) - log_z + model.inference(initial).log_prob(NODES)
    p_pi = -(WEIGHTS * log_pi).sum()
    q_pi = -(ebm.log_density(x) - log_z).mean()
    return bound(model, x) + p_pi + third * q_pi


def gradients(objective: Tensor, model: nn.Module, player: str) -> Tensor:
    parameters = list(model.get_submodule(player).parameters())
    found = torch.autograd.grad(objective, parameters, retain_graph=True, allow_unused=True)
    return torch.stack([torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found)])


def learned(model: GeneratorModel, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The gradient of each player's loss in each of many batches ``[batches, parameters]``, through ``backward``."""
    rows: dict[str, list[Tensor]] = {name: [] for name in names}
    modules = {name: model.get_submodule(name) for name in names}
    for k in range(BATCHES):
        model.zero_grad()
        backward(model.losses(Batch(X), rng=stream(3, 0, k)), modules)
        for name in names:
            rows[name].append(torch.stack([p.grad for p in modules[name].parameters()]).detach().clone())
    return {name: torch.stack(found) for name, found in rows.items()}


def test_the_papers_preset_clips_long_gradients_and_leaves_short_ones():
    recipe = DivergenceTriangleRecipe(dataset=sets.open("wide_ring"), **PRESETS["cifar10/paper"].fields)
    model = recipe.algorithm()
    optimizers = recipe.optimizers(model)
    decays = {name: o.param_groups[0]["weight_decay"] for name, o in optimizers.items()}
    assert decays == {"ebm": 0.0, "generator": 5e-4, "inference": 0.0}
    for name, limit in (("ebm", 100.0), ("generator", 10_000.0), ("inference", 10_000.0)):
        parameters = list(model.get_submodule(name).parameters())
        count = sum(p.numel() for p in parameters)
        for size in (0.5 * limit, 7 * limit):
            for p in parameters:
                p.grad = torch.full_like(p, size / count**0.5)
            optimizers[name].step()
            norm = torch.cat([p.grad.flatten() for p in parameters]).norm()
            torch.testing.assert_close(norm, torch.tensor(min(size, limit)), rtol=1e-3, atol=0)


def test_the_bound_is_the_analytic_one_and_touches_the_likelihood_at_the_posterior():
    _, generator, inference = players()
    model = VAE(generator, inference, LATENT)
    for name, found in learned(model, ("generator", "inference")).items():
        laws.mean_is(found, gradients(bound(model, X), model, name))
    line, w = generator.net, 1 + generator.net.w.detach() ** 2 / STD**2
    with torch.no_grad():  # q = p(z|x) = N(w(x − k)/σ² / M, 1/M), M = 1 + w²/σ²
        inference.net.m.copy_(line.w / STD**2 / w)
        inference.net.h.copy_(-line.w * line.k / STD**2 / w)
        inference.net.log_variance.copy_(-w.log())
    log_likelihood = Normal(line.k.expand(N, 1), (line.w**2 + STD**2).sqrt()).log_prob(X).mean()
    torch.testing.assert_close(bound(model, X), -log_likelihood)  # no gap
    for player in ("generator", "inference"):  # and its gradient is that of the likelihood: 0 in φ
        torch.testing.assert_close(gradients(bound(model, X), model, player), gradients(-log_likelihood, model, player))
    for name, found in learned(model, ("generator", "inference")).items():
        laws.mean_is(found, gradients(-log_likelihood, model, name))


def test_the_divergence_is_to_the_reference_of_any_width():
    _, generator, inference = players()
    model = VAE(generator, inference, StandardNormal(1, std=2.0).double())
    _, divergence, _ = model.negative_elbo(X, rng=stream(1))
    q, p = inference(X), torch.distributions.Normal(torch.zeros((), dtype=F64), 2.0)
    truth = torch.distributions.kl_divergence(torch.distributions.Normal(q.mean, q.std), p)
    torch.testing.assert_close(divergence, truth[:, 0])


def test_an_anomaly_score_is_the_joint_density_at_a_draw_and_has_its_two_parts():
    _, generator, inference = players()
    model = VAE(generator, inference, StandardNormal(1, std=2.0).double())
    found = model.anomaly_scores(X[:20], rng=stream(1)).scores
    z = inference(X[:20]).sample(stream(1))
    p_x, p_z = torch.distributions.Normal(generator(z).mean, STD), torch.distributions.Normal(0.0, 2.0)
    nll, prior = -p_x.log_prob(X[:20])[:, 0], -p_z.log_prob(z)[:, 0]
    for part, expected in (("−log p(x, z)", nll + prior), ("−log p(x|z) alone", nll), ("−log p(z) alone", prior)):
        torch.testing.assert_close(found[part], expected.detach())


def test_a_model_without_inference_infers_from_the_prior():
    class Alone(GeneratorModel):
        def losses(self, batch, *, rng):
            return {}

    model = Alone(players()[1], LATENT)
    laws.normal_law(model.initial_latent(torch.zeros(20_000, 1, dtype=F64), rng=stream(2))[:, 0], 0.0, 1.0)
    with pytest.raises(Unsupported, match="no inference network"):
        model.negative_elbo(X, rng=stream(1))
    with pytest.raises(Unsupported, match="without an inference network and without a chain on z: use teaching full"):
        model.sample_posterior(X, rng=stream(1))
    with pytest.raises(Unsupported, match="has no chain on z that could look at an observation"):
        model.complete(lambda x: x, 2, rng=stream(1))


# --- variational MCMC teaching --------------------------------------------------------------------------------------


class Shift:
    """A sampler that moves every chain by one: refinement without randomness."""

    def __call__(self, log_density, x, *, rng):
        return x.detach() + 1.0


def test_variational_teaching_learns_the_bound_of_refined_samples():
    ebm, generator, inference = players()
    model = VariationalTeaching(ebm, generator, inference, LATENT, sampler=Shift())
    found = learned(model, ("ebm", "generator", "inference"))
    refined = model.generator(NODES).mode.detach() + 1.0
    f = model.ebm().f
    laws.mean_is(found["ebm"], gradients((WEIGHTS * f(refined)).sum() - f(X).mean(), model, "ebm"))
    line, q = generator.net, inference(refined)
    squares = (refined - line.w * q.mean - line.k) ** 2 + line.w**2 * q.std**2
    each = squares / (2 * STD**2) + 0.5 * (q.mean**2 + q.std**2) - q.std.log()
    truth = (WEIGHTS[:, None] * each).sum()
    for player in ("generator", "inference"):
        laws.mean_is(found[player], gradients(truth, model, player))
        with pytest.raises(AssertionError, match="mean differs"):  # the data's bound is another one
            laws.mean_is(found[player], gradients(bound(model, X), model, player))


def test_variational_teaching_passes_the_condition_to_all_three():
    class Conditional(nn.Module):
        def __init__(self, n_in: int, n_out: int) -> None:
            super().__init__()
            self.net = mlp([n_in + 1, 8, n_out], "silu")
            self.seen: list[Tensor] = []

        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            self.seen.append(c)
            return self.net(torch.cat([x, c], 1))

    torch.manual_seed(0)
    generator, inference = GaussianGenerator(Conditional(1, 1), STD), GaussianInference(Conditional(1, 2))
    model = VariationalTeaching(
        EBM(Quadratic(), LATENT), generator.double(), inference.double(), LATENT, sampler=Langevin(2, 0.1)
    )
    c = torch.linspace(0, 1, 6, dtype=F64)[:, None]
    one = model.losses(Batch(X[:6], c), rng=stream(4))
    other = model.losses(Batch(X[:6], c.flip(0)), rng=stream(4))
    assert all(not torch.equal(one[name], other[name]) for name in one)
    for net in (generator.net, inference.net):
        assert torch.equal(net.seen[0], c)
    assert model.sample(6, c, rng=stream(5)).shape == (6, 1)
    assert not torch.equal(model.sample(6, c, rng=stream(5)), model.sample(6, c.flip(0), rng=stream(5)))
    assert model.divergence(X[:6], c, rng=stream(6)) > 0


# --- divergence triangle --------------------------------------------------------------------------------------------


def make_triangle(**weights: float) -> DivergenceTriangle:
    return DivergenceTriangle(*players(), LATENT, sampler=Langevin(2, 0.1), **weights)


def test_the_triangle_is_descended_by_generator_and_inference_and_climbed_by_the_ebm():
    model = make_triangle()
    found, delta = learned(model, ("ebm", "generator", "inference")), triangle(model)
    laws.mean_is(found["ebm"], -gradients(delta, model, "ebm"))
    laws.mean_is(found["generator"], gradients(delta, model, "generator"))
    laws.mean_is(found["inference"], gradients(delta, model, "inference"))
    with pytest.raises(AssertionError, match="mean differs"):  # the usual mistake
        laws.mean_is(found["ebm"], -gradients(triangle(model, third=1.0), model, "ebm"))


def test_without_the_surrogate_of_entropy_the_generator_descends_something_else():
    model = make_triangle(entropy=0.0)
    found, delta = learned(model, ("generator", "inference")), triangle(model)
    initial = model.generator(NODES).mode
    latent_nll = -(WEIGHTS * model.inference(initial).log_prob(NODES)).sum()
    laws.mean_is(found["generator"], gradients(delta - latent_nll, model, "generator"))
    laws.mean_is(found["inference"], gradients(delta, model, "inference"))  # φ learns from initial samples as before
    with pytest.raises(AssertionError, match="mean differs"):
        laws.mean_is(found["generator"], gradients(delta, model, "generator"))


def test_weights_of_the_triangle_scale_their_terms():
    full, losses = make_triangle().losses(Batch(X), rng=stream(1)), {}
    for name in ("energy", "entropy", "sleep"):
        losses[name] = make_triangle(**{name: 3.0}).losses(Batch(X), rng=stream(1))
        losses[f"no {name}"] = make_triangle(**{name: 0.0}).losses(Batch(X), rng=stream(1))
        player = "inference" if name == "sleep" else "generator"
        for other in ("ebm", "generator", "inference"):
            three = losses[name][other] - losses[f"no {name}"][other]
            one = full[other] - losses[f"no {name}"][other]
            torch.testing.assert_close(three, 3 * one)
            assert (one.abs() > 1e-6) == (other == player)
    with pytest.raises(InputError, match="entropy -1"):
        make_triangle(entropy=-1.0)


def test_the_triangle_runs_no_chain_to_learn_or_sample():
    model = make_triangle()
    model.losses(Batch(X), rng=stream(1))
    assert torch.equal(model.sample(5, rng=stream(2)), model.initial_samples(5, rng=stream(2))[1])
    assert not model.chains
    model.refine(X, rng=stream(3))
    assert set(model.chains) == {"ebm"}


# --- joint VAE ------------------------------------------------------------------------------------------------------


def joint_divergences(model: JointVAE, third: float = -1.0) -> Tensor:
    """KL(Q‖P) + KL(P‖Π) ``third`` KL(Q‖Π) up to constants of the learned parameters, without a draw."""
    f, line, q = model.ebm, model.generator.net, model.inference(X)
    initial = line(NODES)
    log_z = Grid(-9, 9, 301, 2).log_integral(lambda u: f(u[:, :1], u[:, 1:]))
    f_p = (WEIGHTS * f(initial, NODES)).sum()
    second = q.mean**2 + q.std**2
    f_q = (f.a * X * q.mean - 0.5 * f.b * (X**2 + second)).mean()
    entropy = q.entropy().mean()
    return bound(model, X) - (f_p - log_z) + third * (-entropy - f_q + log_z)


def test_the_joint_energys_players_descend_and_climb_the_divergences():
    _, generator, inference = players()
    model = JointVAE(Bilinear(), generator, inference, LATENT)
    found, delta = learned(model, ("ebm", "generator", "inference")), joint_divergences(model)
    laws.mean_is(found["ebm"], -gradients(delta, model, "ebm"))
    laws.mean_is(found["generator"], gradients(delta, model, "generator"))
    laws.mean_is(found["inference"], gradients(delta, model, "inference"))  # the entropy of q cancels
    flipped = joint_divergences(model, third=1.0)
    for player, sign in (("ebm", -1), ("inference", 1)):
        with pytest.raises(AssertionError, match="mean differs"):
            laws.mean_is(found[player], sign * gradients(flipped, model, player))


def test_what_the_joint_energy_thinks_improbable_is_anomalous():
    _, generator, inference = players()
    model = JointVAE(Bilinear(), generator, inference, LATENT)
    x = torch.tensor([[0.0], [5.0]], dtype=F64)
    score = model.anomaly_score(x)
    torch.testing.assert_close(score, -model.ebm(x, inference(x).mean).detach())
    assert score[1] > score[0]
    assert not score.requires_grad


# --- towers ---------------------------------------------------------------------------------------------------------


def test_towers_are_bounded_above_and_every_layer_has_spectral_norm_one():
    torch.manual_seed(1)
    f = mlp_towers((3,), 2, 16).double()
    for _ in range(100):  # power iterations run where it trains
        f(torch.zeros(1, 3, dtype=F64), torch.zeros(1, 2, dtype=F64))
    f.eval()
    layers = [m for m in f.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 6
    for layer in layers:
        torch.testing.assert_close(torch.linalg.matrix_norm(layer.weight, 2).item(), 1.0, rtol=1e-3, atol=0)
    x, z = (100 * noise_like(torch.empty(500, n, dtype=F64), stream(n)) for n in (3, 2))
    assert (f(x, z) < 0).all()
    # Two towers of norm 1, joined: f moves by at most the two moves' length.
    moved = f(x + 1e-3, z - 1e-3) - f(x, z)
    assert moved.abs().max() <= 1e-3 * math.sqrt(5) * 1.01


def test_convolutional_towers_take_images():
    f = conv_towers(1, 28, 4, 4)
    assert isinstance(f, TowersF)
    assert f(torch.zeros(3, 1, 28, 28), torch.zeros(3, 4)).shape == (3,)
    with pytest.raises(InputError, match="8x8"):
        conv_towers(1, 6, 4, 4)


def test_detect_ranks_images_by_the_models_own_score(tmp_path):
    run = tmp_path / "run"
    fit(recipes.build("joint_vae", "digits", anomaly=4, tiny=True), run)
    found = detect.command(run, n=60, device="cpu")
    assert found.figures["base rate"] < 1
    assert found.baselines["AUROC"].keys() == {"PCA-8", "PCA-32"}
    model, test = checkpoint.load(run), recipes.build("joint_vae", "digits", anomaly=4).examples.split("test")
    rows = torch.linspace(0, len(test) - 1, 60).long()
    written = [float(line.split(",")[1]) for line in (run / "detect" / "scores.csv").read_text().splitlines()[1:]]
    torch.testing.assert_close(torch.tensor(written), model.anomaly_score(test.batch(rows).x), rtol=1e-4, atol=1e-5)
