"""Teaching: cooperative networks and dual-MCMC teaching, against closed forms and with parts replaced by exact ones.

With g(z) = Wz + b and f(x) = uᵀx − xᵀDx/2 everything is Gaussian: refined samples have the law of a short run, and the
loss of each player is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import CASES
from laws import covariance_is, mean_is, normal_law
from torch import Tensor, nn

from absynth import recipes
from absynth.algorithms import Cooperative, DualTeaching
from absynth.algorithms.teaching import Teaching
from absynth.density import EBM, score
from absynth.distributions import GaussianGenerator, GaussianInference, Normal, StandardNormal
from absynth.errors import InputError
from absynth.networks.encoder import conv_encoder, mlp_encoder
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch, LogDensity, Rng
from absynth.updates import backward, update

F64 = torch.float64
SIGMA = 0.5


@dataclass(frozen=True)
class Shift:
    """A sampler that adds a number: what was refined is then told apart from what was not."""

    by: float

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return x + self.by


class Quadratic(nn.Module):
    """f(x) = −(x − m)ᵀ(x − m) / (2v), beside a wide reference."""

    def __init__(self, mean: float, variance: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(mean, dtype=F64))
        self.variance = variance

    def forward(self, x: Tensor) -> Tensor:
        return -((x - self.mean) ** 2).sum(1) / (2 * self.variance)


class Recorded(nn.Module):
    """A conditional that remembers what it was asked for."""

    def __init__(self, net: nn.Module, std: float) -> None:
        super().__init__()
        self.net, self.std = net, std
        self.asked: list[Tensor] = []

    def forward(self, z: Tensor, c: Tensor | None = None) -> Normal:
        self.asked.append(z.detach())
        return Normal(self.net(z), self.std)


def linear(n_in: int, n_out: int, seed: int = 0) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(n_in, n_out).double()


def parts(**samplers) -> tuple:
    ebm = EBM(Quadratic(1.0, 0.5), StandardNormal(2, std=1e6).double())
    return ebm, GaussianGenerator(linear(2, 2), SIGMA), StandardNormal(2).double()


def data(n: int = 64) -> Tensor:
    return noise_like(torch.empty(n, 2, dtype=F64), stream(9)) + 2.0


# --- cooperative networks -------------------------------------------------------------------------------------------


def test_the_refined_samples_of_a_linear_generator_have_the_law_of_a_short_run():
    """Initial sample N(b, WWᵀ); K steps on N(m, v): mean m + aᴷ(b − m), covariance a²ᴷ WWᵀ + noise, a = 1 − δ²/(2v)."""
    ebm, generator, latent = parts()
    steps, delta, v = 7, 0.3, 0.5
    model = Cooperative(ebm, generator, latent, sampler=Langevin(steps, delta))
    x = model.sample(50_000, rng=stream(3))
    w, b = (p.detach() for p in generator.net.parameters())
    a = 1 - delta**2 / (2 * v)
    noise = delta**2 * sum(a ** (2 * k) for k in range(steps)) * torch.eye(2, dtype=F64)
    covariance = a ** (2 * steps) * w @ w.T + noise
    mean = 1.0 + a**steps * (b - 1.0)
    for j in range(2):
        mean_is(x[:, j], float(mean[j]))
    covariance_is(x, covariance)
    with pytest.raises(AssertionError):  # the initial samples themselves have another law
        covariance_is(model.initial_samples(50_000, rng=stream(3))[1], covariance)


def test_fast_teaching_regresses_the_refined_sample_on_the_z_it_came_from():
    ebm, generator, latent = parts()
    model = Cooperative(ebm, generator, latent, sampler=Shift(0.7))
    losses = model.losses(Batch(data()), rng=stream(1))
    # Every x̃ is its own initial sample plus 0.7, so −log p(x̃|z) is known whatever z was.
    expected = 2 * 0.7**2 / (2 * SIGMA**2) + Normal(torch.zeros(1, 2, dtype=F64), SIGMA).entropy() - 1
    torch.testing.assert_close(losses["generator"], expected[0])


def test_full_teaching_regresses_it_on_the_z_inferred_from_it_starting_there():
    ebm, _, latent = parts()
    generator = Recorded(linear(2, 2), SIGMA)
    model = Cooperative(ebm, generator, latent, sampler=Shift(0.0), posterior_sampler=Shift(5.0))
    model.losses(Batch(data()), rng=stream(1))
    initial, taught = generator.asked[0], generator.asked[-1]
    torch.testing.assert_close(taught, initial + 5.0)


def test_the_z_of_full_teaching_has_the_posterior_of_the_refined_example():
    ebm, generator, latent = parts()
    model = Cooperative(ebm, generator, latent, sampler=Shift(0.4), posterior_sampler=Langevin(400, 0.15))
    x = torch.tensor([[0.3, -0.8]], dtype=F64).expand(20_000, -1)
    z = model.refine_latent(x, latent.sample(20_000, stream(2)), rng=stream(4))
    w, b = (p.detach() for p in generator.net.parameters())
    precision = torch.eye(2, dtype=F64) + w.T @ w / SIGMA**2
    mean = torch.linalg.solve(precision, w.T @ (x[0] - b) / SIGMA**2)
    for j in range(2):
        mean_is(z[:, j], float(mean[j]))
    # The chain's own stationary law, with the bias of its step.
    covariance_is(z, (precision @ (torch.eye(2, dtype=F64) - 0.15**2 / 4 * precision)).inverse())


def test_energy_falls_along_the_refinement_of_x_and_rises_with_the_sign_flipped():
    ebm, generator, latent = parts()
    model = Cooperative(ebm, generator, latent, sampler=Langevin(20, 0.2))
    _, initial = model.initial_samples(2000, rng=stream(0))
    density = model.ebm()
    cold = Langevin(20, 0.2, 0.0)
    energies = torch.stack([density.energy(s.x).mean() for s in cold.path(density.log_density, initial, rng=stream(1))])
    assert (energies.diff() < 0).all()
    wrong = torch.stack(
        [density.energy(s.x).mean() for s in cold.path(lambda x: -density.log_density(x), initial, rng=stream(1))]
    )
    assert (wrong.diff() > 0).all()


def test_at_the_fixed_point_neither_player_is_moved():
    """Data, initial samples and f's density agree: the gradients are noise about 0, and not once the data move away."""
    n = 40_000
    b = torch.zeros(2, dtype=F64)
    net = nn.Linear(2, 2).double()
    net.load_state_dict({"weight": torch.eye(2, dtype=F64), "bias": b})
    ebm = EBM(Quadratic(0.0, 1.0), StandardNormal(2, std=1e6).double())
    model = Cooperative(ebm, GaussianGenerator(net, SIGMA), StandardNormal(2).double(), sampler=Langevin(5, 0.05))

    def gradient(x: Tensor) -> Tensor:
        losses = model.losses(Batch(x), rng=stream(1))
        (found,) = torch.autograd.grad(losses["ebm"], ebm.f.mean)
        return found.abs()

    x = noise_like(torch.empty(n, 2, dtype=F64), stream(2))
    assert gradient(x) < 5 * (2 * 2 / n) ** 0.5
    assert gradient(x + 0.5) > 0.9


# --- dual teaching --------------------------------------------------------------------------------------------------


def dual(**kwargs) -> DualTeaching:
    ebm, generator, latent = parts()
    inference = GaussianInference(linear(2, 4, seed=1))
    settings = {"sampler": Shift(0.7), "posterior_sampler": Shift(-0.2)} | kwargs
    return DualTeaching(ebm, generator, inference, latent, **settings)


def test_each_weight_scales_its_teacher_and_nothing_else():
    batch = Batch(data())
    one, two, none = (
        dual(generator_teaching=s, inference_teaching=w).losses(batch, rng=stream(1))
        for s, w in ((1.0, 1.0), (2.0, 3.0), (0.0, 0.0))
    )
    expected = 2 * 0.7**2 / (2 * SIGMA**2) + Normal(torch.zeros(1, 2, dtype=F64), SIGMA).entropy() - 1
    torch.testing.assert_close(one["generator"] - none["generator"], expected[0])
    torch.testing.assert_close(two["generator"] - none["generator"], 2 * expected[0])
    torch.testing.assert_close(two["inference"] - none["inference"], 3 * (one["inference"] - none["inference"]))
    torch.testing.assert_close(one["ebm"], none["ebm"])


def test_the_inference_model_is_taught_the_refined_z_of_the_data_and_the_known_z_of_refined_samples():
    model = dual(inference_teaching=1.0)
    batch = Batch(data())
    loss = model.losses(batch, rng=stream(1))["inference"]
    rng = stream(1)
    z, initial = model.initial_samples(len(batch.x), rng=rng)
    first = model.initial_latent(batch.x, rng=rng)
    q = model.inference
    expected = -q(batch.x).log_prob(first - 0.2).mean() - q(initial + 0.7).log_prob(z).mean()
    torch.testing.assert_close(loss, expected)


def test_no_gradient_of_the_inference_loss_goes_through_its_own_draw():
    """The authors' φ has no reparametrized gradient: with z̃ = ẑ the loss is minus the log density at a constant."""
    model = dual(posterior_sampler=Shift(0.0), inference_teaching=0.0)
    batch = Batch(data(4000))
    losses = model.losses(batch, rng=stream(1))
    gradients = torch.autograd.grad(losses["inference"], list(model.inference.parameters()))
    # E_q ∇ log q = 0: what is left is Monte Carlo noise. Through the draw, log σ² would have gradient −1/2 each.
    assert max(float(g.abs().max()) for g in gradients) < 0.25


def test_a_linear_generator_taught_by_data_alone_learns_their_mean():
    """S = 0 and an inference model that learns the posterior: the wake half of dual teaching is ABP."""
    model = dual(generator_teaching=0.0, posterior_sampler=Langevin(10, 0.3), sampler=Shift(0.0))
    optimizers = {name: torch.optim.Adam(m.parameters(), 0.05) for name, m in model.named_children() if name != "prior"}
    for step in range(150):
        x = noise_like(torch.empty(100, 2, dtype=F64), stream(0, 0, step, 1)) + torch.tensor([2.0, -1.0], dtype=F64)
        update(model, optimizers, Batch(x), rng=stream(0, 0, step))
    mean = model.generate(model.reference.sample(4000, stream(5))).mean(0)
    torch.testing.assert_close(mean, torch.tensor([2.0, -1.0], dtype=F64), atol=0.15, rtol=0)


def test_a_negative_weight_is_a_mistake():
    with pytest.raises(InputError, match="generator_teaching -1"):
        dual(generator_teaching=-1.0)


# --- what both owe --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Cooperative fast", "Cooperative full", "DualTeaching"])
def test_teachers_send_no_gradient_to_their_pupils_teachers(name):
    """A teaching loss reaches its pupil alone, and the refined examples carry no graph."""
    model = CASES[name].build()
    assert isinstance(model, Teaching)
    losses = model.losses(CASES[name].batch(6), rng=stream(1))
    assert not model.chains["ebm"].end.requires_grad
    ebm = list(model.ebm.parameters())
    for player in set(CASES[name].players) - {"ebm"}:
        found = torch.autograd.grad(losses[player], ebm, allow_unused=True, retain_graph=True)
        assert all(g is None for g in found)
    generator = list(model.generator.parameters())
    assert all(g is None for g in torch.autograd.grad(losses["ebm"], generator, allow_unused=True, retain_graph=True))
    backward({"ebm": losses["ebm"]}, {"ebm": model.ebm})
    assert all(p.grad is None for p in generator)


class Leaking(Cooperative):
    """Released code that differentiates through its own chain."""

    def losses(self, batch, *, rng):
        z = self.reference.sample(len(batch.x), rng)
        initial = self.generator(z).mode
        refined = initial + 0.1 * score(self.ebm().log_density, initial)
        f = self.ebm().f
        return {"ebm": f(refined).mean() - f(batch.x).mean(), "generator": (refined - initial).square().mean()}


def test_that_test_sees_a_loss_that_leaks():
    ebm, generator, latent = parts()
    model = Leaking(ebm, generator, latent, sampler=Shift(0.0))
    losses = model.losses(Batch(data()), rng=stream(1))
    found = torch.autograd.grad(losses["ebm"], list(generator.parameters()), allow_unused=True)
    assert any(g is not None for g in found)


def test_initial_samples_are_drawn_from_and_never_evaluated():
    model = CASES["DualTeaching"].build()
    assert isinstance(model, DualTeaching)
    x = model.chain().start.sample(3, stream(0))
    assert torch.equal(x, model.initial_samples(3, rng=stream(0))[1])
    with pytest.raises(InputError, match="have no density"):
        model.chain().start.log_prob(x)


def test_encoders_give_a_mean_and_a_log_variance_of_each_coordinate():
    x = torch.zeros(3, 2, 16, 16)
    for net in (mlp_encoder((2, 16, 16), 5, 8), conv_encoder(2, 16, 5, 4)):
        q = GaussianInference(net)(x)
        assert q.mean.shape == (3, 5)
        assert isinstance(q.std, Tensor)
        assert q.std.shape == (3, 5)
    with pytest.raises(InputError, match="use mlp"):
        conv_encoder(1, 6, 5, 4)


def test_what_is_inferred_of_one_image_does_not_depend_on_its_neighbours():
    net = conv_encoder(1, 16, 5, 4)
    x = torch.rand(4, 1, 16, 16, generator=stream(0))
    torch.testing.assert_close(net(x)[:1], net(x[:1]))


def test_recipes_name_every_number_that_their_algorithm_uses():
    recipe = recipes.build(
        "dual_teaching", "wide_ring", tiny=True, chain_steps=7, temperature=0.25, generator_teaching=4.0
    )
    model = recipe.algorithm()
    assert isinstance(model, DualTeaching)
    assert model.weights["generator_teaching"] == 4.0
    assert model.sampler == Langevin(7, 0.1, 0.05)
    assert model.sampler.temperature == pytest.approx(0.25)


def test_noise_is_added_to_the_data_of_tables_and_once_to_conditional_images():
    clean, noisy = (recipes.build("vae", "wide_ring", batch=2000, data_noise=s) for s in (0.0, 0.5))
    step_3 = next(noisy.batches(3)).x - next(clean.batches(3)).x
    normal_law(step_3[:, 0].double(), 0.0, 0.25)
    batches = noisy.batches(2)
    next(batches)
    torch.testing.assert_close(next(batches).x, next(noisy.batches(3)).x)  # follows from (seed, step)
    images = np.random.default_rng(0).integers(0, 255, (20, 8, 8), dtype=np.uint8)
    inpainting = recipes.build("inpainting", images, batch=4, data_noise=0.5)
    assert next(inpainting.batches()).x.abs().max() <= 1  # there the algorithm adds it
