"""The latent EBM prior against closed forms: its learning gradient, its chains, the calibration of its posterior.

With f(z) = wᵀz and g(z) = Wz + b everything is Gaussian: p_α = N(w, I), p_θ(x) = N(Ww + b, WWᵀ + σ²I),
p_θ(z|x) = N(M⁻¹(w + Wᵀ(x − b)/σ²), M⁻¹) with M = I + WᵀW/σ².
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import pytest
import torch
from laws import covariance_is, mean_is, normal_law, uniform_ranks
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from absynth.algorithms import AlternatingBackprop, LatentPrior
from absynth.density import EBM, score
from absynth.distributions import GaussianGenerator, StandardNormal, sum_event
from absynth.networks.mlp import Flat, mlp, mlp_f
from absynth.samplers import MALA, Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch, LogDensity, Rng
from absynth.updates import backward

F64 = torch.float64
SIGMA = 0.6

# --- exact samplers, which stand in the places of MCMC --------------------------------------------------------------


@dataclass(frozen=True)
class ExactGaussian:
    """Independent draws from any Gaussian log density: its mean and precision are read off d + 1 scores."""

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        origin = torch.zeros_like(x)
        at_origin = score(log_density, origin)  # P μ
        columns = [at_origin - score(log_density, origin + e) for e in torch.eye(x.shape[1], dtype=x.dtype)]
        precision = torch.stack(columns, 2)
        root = torch.linalg.cholesky(precision)
        mean = torch.cholesky_solve(at_origin[..., None], root)
        noise = torch.linalg.solve_triangular(root.mT, noise_like(x, rng)[..., None], upper=True)
        return (mean + noise)[..., 0]


@dataclass(frozen=True)
class OnGrid:
    """Independent draws from any log density on a grid of points; its table is made at the first call and kept."""

    points: Tensor
    table: list[Tensor] = field(default_factory=list)

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        if not self.table:
            with torch.no_grad():
                self.table.append(torch.stack([log_density(z.expand(x.shape)) for z in self.points], 1).softmax(1))
        return self.points[torch.multinomial(self.table[0], 1, generator=rng)[:, 0]]


# --- the linear model -----------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """f(z) = wᵀz."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w.clone())

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.w


def noise(*shape, seed=1):
    return noise_like(torch.empty(*shape, dtype=F64), stream(seed))


W_PRIOR = torch.tensor([0.8, -0.5], dtype=F64)


def linear_generator() -> GaussianGenerator:
    net = nn.Linear(2, 4, dtype=F64)
    with torch.no_grad():
        net.weight.copy_(0.5 * noise(4, 2, seed=11))
        net.bias.copy_(noise(4, seed=12))
    return GaussianGenerator(net, SIGMA)


def linear_model(prior_sampler=None, posterior_sampler=None, kind: type[LatentPrior] = LatentPrior) -> LatentPrior:
    exact = ExactGaussian()
    return kind(
        EBM(Linear(W_PRIOR), StandardNormal(2).double()),
        linear_generator(),
        prior_sampler=prior_sampler or exact,
        posterior_sampler=posterior_sampler or exact,
    )


def marginal(w: Tensor | float, net: nn.Linear, sigma: float = SIGMA) -> MultivariateNormal:
    """p_θ(x) with z ~ N(w, I)."""
    mean = net.bias + net.weight @ w if isinstance(w, Tensor) else net.bias
    return MultivariateNormal(mean, net.weight @ net.weight.T + sigma**2 * torch.eye(len(net.bias), dtype=F64))


def posterior(x: Tensor, w: Tensor, net: nn.Linear) -> tuple[Tensor, Tensor]:
    """Mean and covariance of p_θ(z|x)."""
    covariance = torch.linalg.inv(torch.eye(2, dtype=F64) + net.weight.T @ net.weight / SIGMA**2).detach()
    return covariance @ (w + net.weight.T @ (x - net.bias) / SIGMA**2).detach(), covariance


# --- the learning gradient ------------------------------------------------------------------------------------------


def gradients(algorithm: LatentPrior, batch: Batch, players: list[str], repeats: int) -> dict[str, Tensor]:
    """Independent gradients of ``losses``, ``[repeats, numbers]`` for each player."""
    modules = {name: algorithm.get_submodule(name) for name in players}
    rows: dict[str, list[Tensor]] = {name: [] for name in players}
    for k in range(repeats):
        algorithm.zero_grad()
        backward(algorithm.losses(batch, rng=stream(40, 0, k)), modules)
        for name, module in modules.items():
            rows[name].append(torch.cat([p.grad.flatten() for p in module.parameters()]))
    return {name: torch.stack(r) for name, r in rows.items()}


def exact_gradient(loss: Tensor, module: nn.Module) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)])


X = 1.5 * noise(48, 4, seed=3)  # data the model does not fit, so that gradients are large


class Swapped(LatentPrior):
    """z⁺ and z⁻ taken for each other."""

    def synthesize(self, batch, *, rng):
        return super().synthesize(batch, rng=rng)[::-1]


class Overweighted(LatentPrior):
    """A posterior that weighs the likelihood by a tenth too much."""

    def posterior(self, x, c=None, mask=None, *, weight=1.0):
        joint, prior = super().posterior(x, c, mask, weight=weight), self.prior(c).log_density
        return lambda z: 1.1 * joint(z) - 0.1 * prior(z)


@cache
def linear_gradients(kind: type[LatentPrior]) -> dict[str, tuple[Tensor, Tensor]]:
    """Gradients of ``losses`` and −∇ log p_θ(x), for each player of the linear model."""
    model = linear_model(kind=kind)
    loss = -marginal(model.prior.f.w, model.generator.net).log_prob(X).mean()
    got = gradients(model, Batch(X), ["prior", "generator"], 250)
    return {k: (g, exact_gradient(loss, model.get_submodule(k))) for k, g in got.items()}


def test_losses_give_the_gradient_of_the_log_likelihood():
    players = linear_gradients(LatentPrior)
    assert set(players) == {"prior", "generator"}
    for got, expected in players.values():
        assert expected.abs().min() > 1e-3
        mean_is(got, expected)


@pytest.mark.parametrize("wrong", [Swapped, Overweighted])
@pytest.mark.parametrize("player", ["prior", "generator"])
def test_a_wrong_algorithm_does_not(wrong, player):
    with pytest.raises(AssertionError, match="mean differs"):
        mean_is(*linear_gradients(wrong)[player])


def test_alternating_backprop_gives_the_gradient_of_ppca():
    """With f ≡ 0 the model is probabilistic PCA, N(b, WWᵀ + σ²I); the generator is the only player."""
    model = AlternatingBackprop(StandardNormal(2).double(), linear_generator(), posterior_sampler=ExactGaussian())
    assert set(model.losses(Batch(X), rng=stream(0))) == {"generator"}
    assert list(model.prior.parameters()) == []
    got = gradients(model, Batch(X), ["generator"], 250)["generator"]
    net = model.generator.net
    mean_is(got, exact_gradient(-marginal(0.0, net).log_prob(X).mean(), net))
    with pytest.raises(AssertionError, match="mean differs"):
        mean_is(got, exact_gradient(-marginal(0.0, net, 1.1 * SIGMA).log_prob(X).mean(), net))
    normal_law(model.sample_prior(50_000, rng=stream(1)).flatten(), 0.0, 1.0)


def grid_model(kind: type[LatentPrior] = LatentPrior) -> tuple[LatentPrior, Tensor]:
    """An MLP prior and an MLP generator whose z lives on a grid of the plane, where every integral is a sum."""
    axis = torch.linspace(-2.5, 2.5, 9, dtype=F64)
    points = torch.cartesian_prod(axis, axis)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        prior = EBM(mlp_f(2, 6, "silu"), StandardNormal(2)).double()
        generator = GaussianGenerator(mlp([2, 5, 4], "tanh"), SIGMA).double()
    with torch.no_grad():
        for p in prior.parameters():
            p.mul_(2.5)  # at initialization f is nearly flat and its gradients hardly depend on z
    return kind(prior, generator, prior_sampler=OnGrid(points), posterior_sampler=OnGrid(points)), points


@pytest.mark.parametrize("kind", [LatentPrior, Swapped])
def test_on_a_grid_any_networks_give_the_exact_gradient(kind):
    """log p_θ(x) = log Σ_z exp(f + log p_0 + log p_β(x|z)) − log Σ_z exp(f + log p_0)."""
    model, points = grid_model(kind)
    tilted = model.prior().log_density(points)
    likelihood = torch.stack([model.generator(z[None].expand(len(X), 2)).log_prob(X) for z in points], 1)
    loss = -((tilted + likelihood).logsumexp(1) - tilted.logsumexp(0)).mean()
    for player, got in gradients(model, Batch(X), ["prior", "generator"], 250).items():
        expected = exact_gradient(loss, model.get_submodule(player))
        expected = torch.where(expected.abs() < 1e-12, 0.0, expected)  # f's last bias: a constant is no tilt
        assert (expected.abs() > 1e-3).sum() > len(expected) / 2
        if kind is LatentPrior:
            mean_is(got, expected)
        else:
            with pytest.raises(AssertionError, match="mean differs"):
                mean_is(got, expected)


# --- chains ---------------------------------------------------------------------------------------------------------


def test_under_a_linear_f_the_prior_chain_has_no_bias_of_mean():
    """p_α = N(w, I): the mean is w, the variance the step size's own 1 / (1 − δ²/4)."""
    model = linear_model(prior_sampler=Langevin(200, 0.4))
    z = model.sample_prior(20_000, rng=stream(6))
    mean_is(z, W_PRIOR)
    covariance_is(z, torch.eye(2, dtype=F64) / (1 - 0.4**2 / 4))
    a = 1 - 0.4**2 / 2
    short = linear_model(prior_sampler=Langevin(5, 0.4)).sample_prior(50_000, rng=stream(6))
    mean_is(short, (1 - a**5) * W_PRIOR)
    with pytest.raises(AssertionError, match="mean differs"):
        mean_is(short, W_PRIOR)


class Misprint(StandardNormal):
    """The reference of the listing in the paper's supplement: its score is −1/z where −z belongs."""

    def log_prob(self, x: Tensor) -> Tensor:
        return -sum_event(x.abs().log())


@pytest.mark.parametrize("reference", [StandardNormal, Misprint])
def test_with_f_zero_the_prior_chain_is_the_known_recursion(reference):
    """δ = 0.4, K = 60: variance 1.0416..., not the misprint's; kurtosis 3 is in the Kolmogorov–Smirnov test."""
    model = LatentPrior(
        EBM(Flat(), reference(2).double()),
        linear_generator(),
        prior_sampler=Langevin(60, 0.4),
        posterior_sampler=Langevin(1, 0.1),
    )
    z = model.sample_prior(30_000, rng=stream(7)).flatten()
    a, var = 1 - 0.4**2 / 2, 1.0
    for _ in range(60):
        var = a * a * var + 0.4**2
    assert 1.041 < var < 1.042
    if reference is StandardNormal:
        normal_law(z, 0.0, var)
    else:
        with pytest.raises(AssertionError, match=r"not N\("):
            normal_law(z, 0.0, var)


def test_posterior_chains_reach_the_closed_form():
    model = linear_model(posterior_sampler=MALA(80, 0.5))
    x = X[0]
    z = model.sample_posterior(x.expand(20_000, 4), rng=stream(8))
    mean, covariance = posterior(x, W_PRIOR, model.generator.net)
    mean_is(z, mean)
    covariance_is(z, covariance)
    with pytest.raises(AssertionError, match="mean differs"):  # a posterior that forgets f
        mean_is(z, posterior(x, 0 * W_PRIOR, model.generator.net)[0])
    with pytest.raises(AssertionError, match="mean differs"):  # a posterior of another example
        mean_is(z, posterior(X[1], W_PRIOR, model.generator.net)[0])


def test_each_example_has_its_own_posterior():
    model = linear_model(posterior_sampler=MALA(80, 0.5))
    z = model.sample_posterior(X[:4].repeat(3000, 1), rng=stream(9)).view(3000, 4, 2)
    mean_is(z, torch.stack([posterior(x, W_PRIOR, model.generator.net)[0] for x in X[:4]]))


def test_both_chains_start_at_the_reference_row_by_row():
    """Eq. (9): z_0 ~ p_0, afresh for every chain of every update, whatever x is."""
    model = linear_model(prior_sampler=Langevin(1, 0.1), posterior_sampler=Langevin(1, 0.1))
    starts = []
    for k in range(2):
        model.losses(Batch(noise(30_000, 4)), rng=stream(14, 0, k))
        starts += [model.chains["prior"].start, model.chains["posterior"].start]
    for start in starts:
        normal_law(start.flatten(), 0.0, 1.0)
    together = torch.cat(starts, 1)
    covariance_is(together, torch.eye(8, dtype=F64))


# --- calibration ----------------------------------------------------------------------------------------------------


class Bent(nn.Module):
    """A generator that is not linear, so that posteriors are not Gaussian."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([z[:, 0] + 0.3 * z[:, 1] ** 2, torch.sin(1.5 * z[:, 1]), torch.tanh(z[:, 0] - z[:, 1])], 1)


def ranks(believed: float, sampler=None) -> Tensor:
    """Ranks of the z that made x among 19 posterior draws under the believed σ, ``[2000, 3]``.

    Of both coordinates and of the likelihood, which sees a width that coordinates hardly see: draws from the prior
    itself would have calibrated coordinates.
    """
    cases, draws = 2000, 19
    model = LatentPrior(
        EBM(Linear(W_PRIOR), StandardNormal(2).double()),
        GaussianGenerator(Bent(), believed),
        prior_sampler=ExactGaussian(),
        posterior_sampler=sampler or MALA(60, 0.6),
    )
    rng = stream(13)
    z = model.sample_prior(cases, rng=rng)
    x = GaussianGenerator(Bent(), SIGMA)(z).sample(rng)
    posterior_draws = model.sample_posterior(x.repeat_interleave(draws, 0), rng=rng).view(cases, draws, 2)
    drawn = model.generator(posterior_draws.flatten(0, 1)).log_prob(x.repeat_interleave(draws, 0)).view(cases, draws)
    true = model.generator(z).log_prob(x)
    return torch.cat([(posterior_draws < z[:, None]).sum(1), (drawn < true[:, None]).sum(1, keepdim=True)], 1)


def calibrated(ranks: Tensor) -> None:
    for column in ranks.unbind(1):
        uniform_ranks(column, 20)


def test_posterior_draws_are_calibrated():
    calibrated(ranks(SIGMA))


@pytest.mark.parametrize(
    "wrong",
    [lambda: ranks(1.3 * SIGMA), lambda: ranks(SIGMA / 1.3), lambda: ranks(SIGMA, Langevin(60, 0.5, noise_scale=0.4))],
    ids=["sigma too large", "sigma too small", "chains too cold"],
)
def test_calibration_sees_a_wrong_posterior(wrong):
    with pytest.raises(AssertionError, match="ranks are not uniform"):
        calibrated(wrong())
