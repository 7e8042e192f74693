"""Maximum likelihood of a data-space EBM: its gradient is the exact one, its chains start where they should."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from laws import mean_is, normal_law
from torch import nn

from absynth.algorithms import improved_contrastive_divergence
from absynth.algorithms.improved_contrastive_divergence import ImageMoves, ImprovedContrastiveDivergence
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data import sets
from absynth.density import EBM, product, restrict
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError
from absynth.metrics.grid import Grid
from absynth.networks.convnet import conv_f
from absynth.networks.mlp import mlp_f
from absynth.recipes.maximum_likelihood.images import MaximumLikelihoodImages
from absynth.recipes.maximum_likelihood.vectors import MaximumLikelihoodVectors
from absynth.samplers import HMC, FromData, FromNoise, Langevin, Persistent
from absynth.seeding import noise_like, stream
from absynth.types import Batch

GRID = Grid(-6, 6, 60, 2)


@dataclass(frozen=True)
class Exact:
    """A sampler in place of MCMC: independent draws from the density on a grid."""

    grid: Grid

    def __call__(self, log_density, x, *, rng):
        weight = (self.grid.log_prob(log_density) + self.grid.log_cell).exp().detach()
        index = torch.multinomial(weight, len(x), replacement=True, generator=rng)
        return self.grid.points[index]


def of_digits(**fields: Any) -> MaximumLikelihoodImages:
    """The recipe of images on scikit-learn's digits, 8×8."""
    return MaximumLikelihoodImages(dataset=sets.open("digits"), energy_width=4, **fields)


def small_ebm(seed: int = 0) -> EBM:
    torch.manual_seed(seed)
    f = mlp_f(2, 4, "tanh", hidden=1)
    with torch.no_grad():
        for p in f.parameters():
            p.mul_(3.0)  # far from flat, so that the reference alone would not do
    return EBM(f, StandardNormal(2)).double()


def parameters(ebm: EBM) -> list[nn.Parameter]:
    """All but the last bias, which adds a constant to f and so never has a gradient."""
    return list(ebm.parameters())[:-1]


def gradients(algorithm: MaximumLikelihood, x: torch.Tensor, rng, repeats: int) -> torch.Tensor:
    """The loss's gradient, once a row."""
    rows = []
    for _ in range(repeats):
        loss = algorithm.losses(Batch(x), rng=rng)["ebm"]
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters(algorithm.ebm))]))
    return torch.stack(rows)


def exact_gradient(ebm: EBM, x: torch.Tensor) -> torch.Tensor:
    """−∇_θ mean log p_θ(x), with log Z a sum over the grid."""
    loss = GRID.log_integral(ebm().log_density) - ebm().log_density(x).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters(ebm))])


def test_the_loss_has_the_gradient_of_minus_the_log_likelihood(rng):
    ebm = small_ebm()
    algorithm = MaximumLikelihood(ebm, start=FromNoise(ebm.reference), sampler=Exact(GRID))
    x = torch.randn(200, 2, generator=rng, dtype=torch.float64) + 0.5
    found = gradients(algorithm, x, rng, 100)
    mean_is(found, exact_gradient(ebm, x))
    with pytest.raises(AssertionError):  # control: the wrong sign
        mean_is(-found, exact_gradient(ebm, x))

    @dataclass(frozen=True)
    class Untilted(Exact):
        def __call__(self, log_density, x, *, rng):
            return super().__call__(ebm.reference.log_prob, x, rng=rng)

    algorithm.sampler = Untilted(GRID)
    with pytest.raises(AssertionError):  # control: synthesis from the reference and not from the model
        mean_is(gradients(algorithm, x, rng, 100), exact_gradient(ebm, x))


def test_the_noise_on_the_data_is_learned(rng):
    """With data noise σ the gradient is that of the likelihood of x + σε."""
    ebm = small_ebm(1)
    algorithm = MaximumLikelihood(ebm, start=FromNoise(ebm.reference), sampler=Exact(GRID), data_noise=0.5)
    x = torch.full((100, 2), 0.3, dtype=torch.float64)
    noisy = x[0] + 0.5 * torch.randn(200_000, 2, generator=rng, dtype=torch.float64)
    found = gradients(algorithm, x, rng, 100)
    mean_is(found, exact_gradient(ebm, noisy))
    with pytest.raises(AssertionError):
        mean_is(found, exact_gradient(ebm, x))


# Incomplete data -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExactCompletion(Exact):
    """Exact for a law of the second coordinate given the first, too."""

    def __call__(self, log_density, x, *, rng):
        if not isinstance(log_density, restrict):
            return super().__call__(log_density, x, rng=rng)
        side = self.grid.points[:60, 1]
        with torch.no_grad():
            logits = torch.stack([log_density(torch.stack([x[:, 0], y.expand(len(x))], 1)) for y in side], 1)
        return torch.stack([x[:, 0], side[torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]]], 1)


def test_with_missing_entries_the_gradient_is_that_of_the_likelihood_of_what_was_observed(rng):
    """−∇ mean log Σ_{x_2} p_θ(x_1, x_2) by quadrature, half of the rows complete."""
    ebm = small_ebm()
    algorithm = MaximumLikelihood(ebm, start=FromNoise(ebm.reference), sampler=ExactCompletion(GRID))
    x = torch.randn(200, 2, generator=rng, dtype=torch.float64) + 0.5
    mask = torch.ones(200, 2)
    mask[100:, 1] = 0
    hidden = torch.where(mask.bool(), x, math.nan)  # whatever stands in the missing entries is never looked at
    rows = []
    for _ in range(100):
        loss = algorithm.losses(Batch(hidden, mask=mask), rng=rng)["ebm"]
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters(ebm))]))
    side = GRID.points[:60, 1]
    completed = torch.stack([torch.stack([v.expand(60), side], 1) for v in x[100:, 0]])  # [100, 60, 2]
    marginal = ebm().log_density(completed.flatten(0, 1)).view(100, 60).logsumexp(1) + math.log(0.2)
    loss = GRID.log_integral(ebm().log_density) - torch.cat([ebm().log_density(x[:100]), marginal]).mean()
    wanted = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters(ebm))])
    mean_is(torch.stack(rows), wanted)
    filled = torch.where(mask.bool(), x, 0.0)
    with pytest.raises(AssertionError):  # control: zeros in place of the recovery chain
        mean_is(gradients(algorithm, filled, rng, 100), wanted)
    with pytest.raises(AssertionError):  # control: the likelihood of the complete data
        mean_is(torch.stack(rows), exact_gradient(ebm, x))


def test_a_recovery_chain_leaves_what_was_observed(rng):
    ebm = small_ebm()
    algorithm = MaximumLikelihood(ebm, start=FromNoise(ebm.reference), sampler=Langevin(3, 0.3))
    x = torch.randn(6, 2, generator=rng, dtype=torch.float64)
    mask = torch.tensor([[1, 0]] * 3 + [[0, 1]] * 3)
    found = algorithm.recover(x, mask, rng=rng)
    assert torch.equal(found[mask.bool()], x[mask.bool()])
    assert (found != x)[~mask.bool()].all()
    assert set(algorithm.chains) == {"recovery"}  # the guard must not take it for a chain that feeds learning


def test_a_recipe_hides_the_same_pixels_of_an_image_in_every_epoch():
    recipe = of_digits(missing=0.4, batch=100)
    seen: dict[int, torch.Tensor] = {}
    shares = []
    for batch, _ in zip(recipe.batches(), range(40), strict=False):  # more than two epochs
        assert batch.mask is not None
        assert batch.index is not None
        assert batch.mask.shape == batch.x.shape
        assert (batch.x[batch.mask == 0] == 0).all()
        shares.append(batch.mask.float().mean())
        for i, mask in zip(batch.index.tolist(), batch.mask, strict=True):
            assert torch.equal(seen.setdefault(i, mask), mask)
    assert float(torch.stack(shares).mean()) == pytest.approx(0.6, abs=0.01)
    assert next(of_digits().batches()).mask is None
    with pytest.raises(InputError, match="missing"):
        of_digits(missing=1.0)


# Starts --------------------------------------------------------------------------------------------------------------


def test_contrastive_divergence_starts_at_the_data(rng):
    ebm = small_ebm()
    algorithm = MaximumLikelihood(ebm, start=FromData(), sampler=Langevin(3, 0.1), data_noise=0.2)
    x = torch.randn(6, 2, generator=rng, dtype=torch.float64)
    algorithm.losses(Batch(x), rng=stream(3))
    noisy = x + 0.2 * noise_like(x, stream(3))
    assert torch.equal(algorithm.chains["ebm"].start, noisy)
    # Chains that do not move have nothing to teach.
    algorithm.sampler = Langevin(1, 1e-300)
    assert algorithm.losses(Batch(x), rng=stream(3))["ebm"].detach() == 0


def test_persistent_chains_go_on_where_they_ended(rng):
    ebm = small_ebm()
    start = Persistent(6, ebm.reference, rng=rng)
    algorithm = MaximumLikelihood(ebm, start=start, sampler=Langevin(2, 0.3))
    x = torch.zeros(6, 2, dtype=torch.float64)
    algorithm.losses(Batch(x), rng=rng)
    ended = algorithm.chains["ebm"].end
    algorithm.losses(Batch(x), rng=rng)
    began = algorithm.chains["ebm"].start
    assert sorted(ended.tolist()) == sorted(began.tolist())


def test_short_runs_begin_anew(rng):
    ebm = small_ebm()
    algorithm = MaximumLikelihood(
        ebm, start=FromNoise(Uniform(2, low=4.0, high=5.0).double()), sampler=Langevin(2, 0.3)
    )
    for _ in range(2):
        algorithm.losses(Batch(torch.zeros(6, 2, dtype=torch.float64)), rng=rng)
        start = algorithm.chains["ebm"].start
        assert start.min() >= 4
        assert start.max() <= 5


# Two dialects of Langevin --------------------------------------------------------------------------------------------


def test_the_decoupled_form_is_langevin_at_a_temperature(rng):
    """x + η∇f + s·ε is Langevin of f/T with δ = s, T = s²/(2η): the same trajectory for the same noise."""
    ebm, eta, s = small_ebm(), 0.02, 0.05
    x = torch.randn(5, 2, generator=rng, dtype=torch.float64)
    decoupled = Langevin(7, math.sqrt(2 * eta), s)
    assert decoupled.temperature == pytest.approx(s**2 / (2 * eta))
    flat = lambda x: ebm().f(x) / decoupled.temperature  # noqa: E731
    one, other = decoupled(ebm().f, x, rng=stream(1)), Langevin(7, s)(flat, x, rng=stream(1))
    by_hand, noise = x, stream(1)
    for _ in range(7):
        by_hand = by_hand + eta * torch.func.grad(lambda y: ebm().f(y).sum())(by_hand) + s * noise_like(x, noise)
    assert torch.allclose(one, other, atol=1e-12)
    assert torch.allclose(one, by_hand, atol=1e-12)


class Bowl(nn.Module):
    """f(x) = −x²/(2v)."""

    def __init__(self, v: float) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.tensor(v, dtype=torch.float64))

    def forward(self, x):
        return -(x**2).sum(1) / (2 * self.v)


def test_the_short_run_has_its_exact_law(rng):
    """K steps from U(-1, 1) are no normal law, from N(0, s²) they are: the variance obeys v ← a²v + τ²."""
    v, delta, tau, K = 0.5, 0.4, 0.1, 6
    origin = StandardNormal(1, std=2.0).double()
    algorithm = MaximumLikelihood(
        EBM(Bowl(v), Uniform(1)), start=FromNoise(origin), sampler=Langevin(K, delta, tau), sample_rounds=2
    )
    a, variance = 1 - delta**2 / (2 * v), 4.0
    for _ in range(2 * K):
        variance = a**2 * variance + tau**2
    normal_law(algorithm.sample(50_000, rng=rng)[:, 0], 0.0, variance)


def test_sample_rounds_go_on_with_the_same_chains():
    ebm = small_ebm()
    short = MaximumLikelihood(ebm, start=FromNoise(ebm.reference), sampler=Langevin(3, 0.2), sample_rounds=4)
    long = MaximumLikelihood(ebm, start=FromNoise(ebm.reference), sampler=Langevin(12, 0.2))
    assert torch.equal(short.sample(5, rng=stream(1)), long.sample(5, rng=stream(1)))


def test_a_model_says_the_temperature_it_samples_at():
    recipe = of_digits()
    model = recipe.algorithm()
    assert model.sampler.temperature == pytest.approx(recipe.temperature) == 5e-5
    assert model.sampler.noise_scale == pytest.approx(0.01)  # the published x + 1·∇f + 0.01·ε
    assert "temperature=5e-05" in repr(model)
    assert "temperature=1\n" in repr(MaximumLikelihoodVectors(dataset=sets.open("ring"), chains=10).algorithm())


@pytest.mark.parametrize(("start", "kind"), [("noise", FromNoise), ("persistent", Persistent), ("data", FromData)])
@pytest.mark.parametrize("reference_std", [0.0, 0.5])
def test_the_recipe_offers_every_start_with_and_without_a_gaussian_reference(start, kind, reference_std):
    recipe = of_digits(chains=8, start=start, reference_std=reference_std)
    model = recipe.algorithm()
    assert type(model.start) is kind
    assert type(model.ebm.reference) is (StandardNormal if reference_std else Uniform)
    assert model.sample(2, rng=stream(0)).shape == (2, 1, 8, 8)


def test_the_recipes_rate_falls_to_zero_at_the_end():
    recipe = of_digits(steps=100, final_share=0.2)
    assert [recipe.schedule(k) for k in (0, 80, 90, 100)] == [1.0, 1.0, 0.5, 0.0]


def test_user_mistakes():
    ebm = small_ebm()
    with pytest.raises(InputError, match="sample_rounds of at least 1"):
        MaximumLikelihood(ebm, start=FromData(), sampler=Langevin(1, 0.1), sample_rounds=0)
    with pytest.raises(InputError, match="start persistent"):
        of_digits(learning="improved_cd")
    with pytest.raises(InputError, match="8x8 pixels or more"):
        conv_f(1, 7, 4)


def test_f_of_images_of_any_size_sees_all_of_them():
    for size in (8, 9, 15, 28, 33):
        x = torch.zeros(2, 3, size, size, requires_grad=True)
        torch.manual_seed(0)
        for f in (conv_f(3, size, 4), conv_f(3, size, 4, stem=2)):
            (gradient,) = torch.autograd.grad(f(x).sum(), x)
            assert (gradient.abs().amax((0, 1)) > 0).all()
    assert [m.weight.shape[-1] for m in conv_f(1, 28, 4, stem=2) if isinstance(m, nn.Conv2d)] == [4, 4, 4, 3]


# Composition ---------------------------------------------------------------------------------------------------------


def test_a_product_of_models_has_the_law_that_quadrature_says(rng):
    """p_a · p_b^0.7 · p_c^−0.3, sampled by HMC as any density: moments and the masses of quadrants."""
    a, b, c = (small_ebm(seed) for seed in (3, 4, 5))
    densities = [a().log_density, b().log_density, c().log_density]
    composed = product(densities, [1.0, 0.7, -0.3])
    x = HMC(40, 0.35, leapfrog_steps=5)(composed, 1.5 * torch.randn(3000, 2, generator=rng).double(), rng=rng)

    def statistics(x):
        right, up = (x > 0).double().unbind(1)
        return torch.stack([*x.unbind(1), x[:, 0] * x[:, 1], *(x**2).unbind(1), right * up, right - right * up], 1)

    def expected(log_density):
        weight = (GRID.log_prob(log_density) + GRID.log_cell).exp().detach()
        return weight @ statistics(GRID.points)

    mean_is(statistics(x), expected(composed))
    for wrong in ([1.0, 0.7, 0.3], [1.0, 1.0, -0.3]):  # control: a sign lost, a weight lost
        with pytest.raises(AssertionError):
            mean_is(statistics(x), expected(product(densities, wrong)))


# Improved contrastive divergence -------------------------------------------------------------------------------------


class Slope(nn.Module):
    """f(x) = θx: its chain moves by θδ²/2 a step, so every derivative is known."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))

    def forward(self, x):
        return self.theta * x[:, 0]


DELTA, THETA = 0.4, 1.5


def slope_gradient(
    x: torch.Tensor, reference: nn.Module | None = None, **weights: float
) -> tuple[float, ImprovedContrastiveDivergence]:
    reference = reference or Uniform(1, low=-1.0, high=1.0).double()
    algorithm = ImprovedContrastiveDivergence(
        EBM(Slope(THETA), reference),
        start=Persistent(40, reference, rng=stream(7)),
        sampler=Langevin(3, DELTA),
        **{"through": 0.0, "entropy": 0.0, "energy_penalty": 0.0, **weights},
    )
    loss = algorithm.losses(Batch(x), rng=stream(8))["ebm"]
    return float(torch.autograd.grad(loss, algorithm.ebm.f.theta)[0]), algorithm


def test_each_term_of_improved_contrastive_divergence_has_its_sign(rng):
    x = torch.randn(10, 1, generator=rng, dtype=torch.float64)
    plain, algorithm = slope_gradient(x)
    x_neg = algorithm.chains["ebm"].end
    assert plain == pytest.approx(float(x_neg.mean() - x.mean()))
    # E_stop(x⁻(θ)) = −θ_stop x⁻(θ), and x⁻ moves by δ²/2 with θ through the last step: it is lowered by a larger θ.
    through, _ = slope_gradient(x, through=1.0)
    assert through - plain == pytest.approx(-THETA * DELTA**2 / 2)
    # −log of the distance to the nearest stored chain: descending it widens the distances.
    entropy, algorithm = slope_gradient(x, entropy=1.0)
    stored = Persistent(40, Uniform(1).double(), rng=stream(7)).chains  # as it was
    difference = x_neg - stored.T
    taken = {float(v) for v in algorithm.chains["ebm"].start[:, 0]}
    others = torch.tensor([float(v) not in taken for v in stored[:, 0]])
    difference = difference[:, others]
    nearest = difference.gather(1, difference.abs().argmin(1, keepdim=True))
    assert entropy - plain == pytest.approx(float((-(DELTA**2 / 2) / nearest).mean()))
    penalty, _ = slope_gradient(x, energy_penalty=1.0)
    assert penalty - plain == pytest.approx(float(2 * THETA * ((x**2).mean() + (x_neg**2).mean())))


def test_the_reference_is_part_of_the_energy_that_the_last_step_lowers(rng):
    """With p_0 = N(0, σ²) E_stop(x) is x²/2σ² − θ_stop x; where log p_0 is left out −θ_stop alone remains."""
    x, std = torch.randn(10, 1, generator=rng, dtype=torch.float64), 0.5
    normal = StandardNormal(1, std=std).double()
    plain, algorithm = slope_gradient(x, normal)
    x_neg = algorithm.chains["ebm"].end
    through, _ = slope_gradient(x, normal, through=1.0)
    assert through - plain == pytest.approx(float((x_neg / std**2 - THETA).mean()) * DELTA**2 / 2)
    assert through - plain != pytest.approx(-THETA * DELTA**2 / 2)


def test_without_its_terms_it_is_maximum_likelihood(rng):
    ebm = small_ebm()
    x = torch.randn(5, 2, generator=rng, dtype=torch.float64)

    def loss(cls, **weights):
        start = Persistent(20, ebm.reference, 0.3, rng=stream(1))
        algorithm = cls(ebm, start=start, sampler=Langevin(4, 0.3), data_noise=0.1, **weights)
        return algorithm.losses(Batch(x), rng=stream(2))["ebm"]

    plain = loss(MaximumLikelihood)
    assert torch.equal(plain, loss(ImprovedContrastiveDivergence, through=0.0, entropy=0.0, energy_penalty=0.0))
    assert not torch.equal(plain, loss(ImprovedContrastiveDivergence))


def test_moves_keep_images_images(rng):
    x = torch.rand(6, 3, 9, 9, generator=rng) * 2 - 1
    still = ImageMoves(flip=0.0, crop=1.0, blur=0.0)
    assert torch.allclose(still(x, rng=rng), x, atol=1e-5)
    assert torch.allclose(ImageMoves(flip=1.0, crop=1.0, blur=0.0)(x, rng=rng), x.flip(-1), atol=1e-5)
    moved = ImageMoves(flip=0.5, crop=0.6, blur=0.5)(x, rng=rng)
    assert moved.shape == x.shape
    assert moved.abs().max() <= 1 + 1e-6
    assert ((moved - x).abs().amax((1, 2, 3)) > 0.01).all()
    constant = torch.full((4, 1, 8, 8), 0.3)
    assert torch.allclose(ImageMoves(flip=0.5, crop=0.5, blur=1.0)(constant, rng=rng), constant, atol=1e-6)


def test_a_move_by_hand(monkeypatch):
    """Numbers of one image: mirrored, no blur, the crop's side 1 − 0.4 · 0.5, its left at 0.75 and its top at 0.25."""
    numbers = torch.tensor([[0.1, 0.9, 0.5, 0.75, 0.25], [0.3, 0.1, 0.0, 0.9, 0.9]])
    monkeypatch.setattr(improved_contrastive_divergence, "uniform_like", lambda like, rng: numbers)
    ramp = (torch.arange(16) + 0.5) / 8 - 1
    x = torch.stack([ramp.expand(16, 16), ramp[:, None].expand(16, 16)])[None].repeat(2, 1, 1, 1)
    x[1] = 0
    x[1, :, 3, 0] = 16.0
    x[1, 1] *= -1
    moved = ImageMoves(flip=0.2, crop=0.6, blur=0.5)(x, rng=stream(0))
    inside = slice(1, -1)  # beyond the last centres the border is repeated
    torch.testing.assert_close(moved[0, 0, :, inside], (0.5 * 0.2 - 0.8 * ramp).expand(16, 16)[:, inside])
    torch.testing.assert_close(moved[0, 1, inside], (-0.5 * 0.2 + 0.8 * ramp)[:, None].expand(16, 16)[inside])
    spot = torch.zeros(16, 16)  # the second image is blurred alone; what would come from its left is its border
    spot[2:5, 0], spot[2:5, 1] = torch.tensor([3.0, 6.0, 3.0]), torch.tensor([1.0, 2.0, 1.0])
    torch.testing.assert_close(moved[1], torch.stack([spot, -spot]), rtol=0, atol=1e-4)


def test_crops_begin_anywhere(rng):
    """A ramp from −1 to 1 has the mean (2 left − 1)(1 − side) after a crop, left uniform and 1 − side on (0, .5)."""
    n = 4000
    ramp = (torch.arange(32) + 0.5) / 16 - 1
    x = torch.stack([ramp.expand(32, 32), ramp[:, None].expand(32, 32)])[None].expand(n, 2, 32, 32).float()
    means = ImageMoves(flip=0.0, crop=0.5, blur=0.0)(x, rng=rng).mean((2, 3))
    assert means.mean(0).abs().max() < 4 * (0.5 / 3) / n**0.5
    torch.testing.assert_close(means.std(0), torch.full((2,), 0.5 / 3), rtol=0.05, atol=0)
    assert means.abs().max() < 0.5
