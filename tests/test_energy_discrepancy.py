"""Energy discrepancy: closed forms, an exact zero of the gradient at the truth, and small laws that it learns."""

from __future__ import annotations

import math
from itertools import product as cartesian

import pytest
import torch
from laws import mean_is
from torch import nn

from absynth.algorithms.energy_discrepancy import EnergyDiscrepancy, energy_discrepancy, kept
from absynth.algorithms.perturbations import Flips, GaussianNoise, Jumps, MixedColumns
from absynth.density import EBM
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError, Unsupported
from absynth.metrics.grid import Grid
from absynth.networks.mlp import mlp_f
from absynth.samplers import Langevin
from absynth.seeding import noise_like, stream
from absynth.types import Batch

T = 0.3


def gaussian(variance: float):
    return lambda x: -0.5 * (x**2).sum(1) / variance


@pytest.mark.parametrize("v", [0.4, 1.0, 2.5])
def test_many_contrasts_give_the_closed_form_of_a_gaussian(v, rng):
    """w = 0, M → ∞: log of a heat semigroup, in closed form for data N(0, 1) and ℓ = −x²/2v; 1/M leaves 3e-4 here."""
    x = torch.randn(8000, 1, generator=rng, dtype=torch.float64)
    parts = [
        energy_discrepancy(gaussian(v), part, perturb=GaussianNoise(T), contrasts=2000, stabilizer=0.0, rng=rng)[0]
        for part in x.split(1000)
    ]
    exact = 1 / (2 * v) + 0.5 * math.log(v / (v + T)) - (1 + T) / (2 * (v + T))
    mean_is(torch.cat(parts), exact)


def test_a_constant_density_gives_the_stabilizer_alone(rng):
    each, _ = energy_discrepancy(
        lambda x: x.new_zeros(len(x)), torch.zeros(5, 2), perturb=GaussianNoise(T), contrasts=4, stabilizer=2.0, rng=rng
    )
    torch.testing.assert_close(each, torch.full((5,), math.log(1 + 2 / 4)))


class Direct:
    """A fault: contrasts drawn from x and not from y, which lets x stand out as their centre."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x, *, rng):
        self.calls += 1
        return x if self.calls % 2 else x + noise_like(x, rng) * (2 * T) ** 0.5


def gradients(perturb, m: int, w: float, trim: float, rng) -> torch.Tensor:
    """d/d(a, b) of the loss at the truth, data N(0, 1) and ℓ = a x − b x²/2 at a = 0, b = 1; one batch a row."""
    rows = []
    for _ in range(4000):
        a, b = torch.zeros((), requires_grad=True), torch.ones((), requires_grad=True)
        x = torch.randn(16, 1, generator=rng)
        each, data = energy_discrepancy(
            lambda x, a=a, b=b: (a * x - 0.5 * b * x**2)[:, 0], x, perturb=perturb, contrasts=m, stabilizer=w, rng=rng
        )
        rows.append(torch.stack(torch.autograd.grad((kept(data, trim) * each).sum(), (a, b))))
    return torch.stack(rows)


@pytest.mark.parametrize("m", [1, 5])
def test_the_gradient_vanishes_at_the_truth_however_few_the_contrasts(m, rng):
    mean_is(gradients(GaussianNoise(T), m, 1.0, 0.0, rng), 0.0)


LONG = ((Direct(), 5, 1.0, 0.0), (GaussianNoise(T), 1, 1.0, 0.3))


@pytest.mark.parametrize(
    ("perturb", "m", "w", "trim"),
    [(GaussianNoise(T), 1, 0.0, 0.0), *(pytest.param(*k, marks=pytest.mark.slow) for k in LONG)],
)
def test_controls_do_not_vanish_at_the_truth(perturb, m, w, trim, rng):
    """Contrasts about x (right for one alone), no stabilizer, and trimming, which learns the bulk."""
    with pytest.raises(AssertionError, match="mean differs"):
        mean_is(gradients(perturb, m, w, trim, rng), 0.0)


# Discrete data: expectations are sums --------------------------------------------------------------------------------

BITS = torch.tensor(list(cartesian((0.0, 1.0), repeat=3)), dtype=torch.float64)


def enumerated(theta: torch.Tensor, data: torch.Tensor, kernel: torch.Tensor, m: int) -> torch.Tensor:
    """E (2) over 8 states: the sum over x, y and m contrasts."""
    loss = theta.new_zeros(())
    for x, y in cartesian(range(8), repeat=2):
        for others in cartesian(range(8), repeat=m):
            probability = data[x] * kernel[x, y] * math.prod(float(kernel[y, o]) for o in others)
            loss = loss + probability * torch.cat([theta[[*others]] - theta[x], theta.new_zeros(1)]).logsumexp(0)
    return loss - math.log(m)


def flip_kernel(p: float) -> torch.Tensor:
    changed = (BITS[:, None] != BITS[None]).sum(-1)
    return p**changed * (1 - p) ** (3 - changed)


@pytest.mark.parametrize("m", [1, 2])
def test_on_binary_data_the_truth_is_a_zero_of_the_gradient_to_the_last_digit(m):
    truth = torch.randn(8, generator=stream(3), dtype=torch.float64)
    theta = truth.clone().requires_grad_()
    loss = enumerated(theta, truth.softmax(0), flip_kernel(0.2), m)
    assert torch.autograd.grad(loss, theta)[0].abs().max() < 1e-14
    wrong = (1.1 * truth).requires_grad_()
    assert torch.autograd.grad(enumerated(wrong, truth.softmax(0), flip_kernel(0.2), m), wrong)[0].abs().max() > 1e-4


def test_the_loss_on_binary_data_is_its_enumeration(rng):
    theta = torch.randn(8, generator=rng, dtype=torch.float64)
    code = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    data = theta.flip(0).softmax(0)
    x = BITS[torch.multinomial(data, 40_000, replacement=True, generator=rng)]
    each, _ = energy_discrepancy(
        lambda x: theta[(x @ code).long()], x, perturb=Flips(0.2), contrasts=2, stabilizer=1.0, rng=rng
    )
    mean_is(each, float(enumerated(theta, data, flip_kernel(0.2), 2)))


@pytest.mark.parametrize(
    ("perturb", "start", "event"),
    [
        (Flips(0.3), torch.tensor([1.0, 0.0]), lambda y: torch.stack([y[:, 0], y[:, 1], y.prod(1)], 1)),
        (Jumps((3, 2), 0.3), torch.tensor([0.0, 0, 1, 1, 0]), lambda y: y),
        (MixedColumns(1, (3,), 4.0, 0.3), torch.tensor([2.0, 1, 0, 0]), lambda y: torch.cat([y, y[:, :1] ** 2], 1)),
    ],
)
def test_perturbations_have_their_moments(perturb, start, event, rng):
    exact = {
        Flips: [0.7, 0.3, 0.21],
        Jumps: [0.1, 0.1, 0.8, 0.85, 0.15],
        MixedColumns: [2.0, 0.8, 0.1, 0.1, 8.0],
    }[type(perturb)]
    y = perturb(start.double().repeat(20_000, 1), rng=rng)
    mean_is(event(y), torch.tensor(exact, dtype=torch.float64))


# Learning -------------------------------------------------------------------------------------------------------------


def trained(ebm: EBM, draw, perturb, steps: int, rng, trim: float = 0.0, rate: float = 5e-3) -> EBM:
    algorithm = EnergyDiscrepancy(ebm, perturb=perturb, sampler=Langevin(10, 0.1), contrasts=8, trim=trim)
    optimizer = torch.optim.Adam(ebm.parameters(), rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        algorithm.losses(Batch(draw()), rng=rng)["ebm"].backward()
        optimizer.step()
    return ebm


def test_it_learns_two_gaussians(rng):
    def draw():
        mode = torch.randint(2, (256, 1), generator=rng) * 3.0 - 1.5
        return mode + 0.5 * torch.randn(256, 1, generator=rng)

    torch.manual_seed(0)
    ebm = trained(EBM(mlp_f(1, 32, "silu"), StandardNormal(1, std=2.0)), draw, GaussianNoise(0.3), 400, rng)
    grid = Grid(-8, 8, 800, 1, dtype=torch.float32)
    truth = grid.log_prob(lambda x: torch.logsumexp(torch.stack([-2 * (x - 1.5) ** 2, -2 * (x + 1.5) ** 2]), 0)[:, 0])

    def kl(log_density) -> float:
        return float((truth.exp() * (truth - grid.log_prob(log_density))).sum().detach()) * math.exp(grid.log_cell)

    assert kl(ebm().log_density) < 0.02
    assert kl(StandardNormal(1, std=2.0).log_prob) > 0.2  # control: the reference alone is far


class Table8(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(8))

    def forward(self, x):
        return self.theta[(x @ torch.tensor([4.0, 2.0, 1.0])).long()]


def test_it_learns_a_law_on_bits(rng):
    truth = torch.tensor([0.0, 1, -1, 0.5, 2, 0, -0.5, 1]).log_softmax(0)
    draw = lambda: BITS.float()[torch.multinomial(truth.exp(), 512, replacement=True, generator=rng)]  # noqa: E731
    ebm = trained(EBM(Table8(), Uniform(3, low=0.0, high=1.0)), draw, Flips(0.3), 400, rng, rate=5e-2)
    learned = ebm.f.theta.detach().log_softmax(0)
    assert float((truth.exp() * (truth - learned)).sum()) < 0.005


def test_trimming_ignores_far_contamination(rng):
    """One example in ten is at 6: with trimming the model calls 6 far less probable than without."""

    def draw():
        x = torch.randn(256, 1, generator=rng)
        x[:25] = 6 + 0.2 * torch.randn(25, 1, generator=rng)
        return x

    gap = {}
    for trim in (0.0, 0.2):
        torch.manual_seed(0)
        ebm = trained(EBM(mlp_f(1, 32, "silu"), StandardNormal(1, std=3.0)), draw, GaussianNoise(0.1), 300, rng, trim)
        at = ebm().log_density(torch.tensor([[0.0], [6.0]]))
        gap[trim] = float((at[0] - at[1]).detach())
    assert gap[0.2] > gap[0.0] + 2


def test_an_ensemble_is_one_pass(rng):
    """Members in one call give what each gives alone."""
    x, scale = torch.randn(6, 2, generator=rng), torch.tensor([[0.5], [2.0]])
    both, _ = energy_discrepancy(lambda x: -scale * (x**2).sum(1), x, perturb=GaussianNoise(T), rng=stream(1))
    for row, s in zip(both, (0.5, 2.0)):
        alone, _ = energy_discrepancy(lambda x, s=s: -s * (x**2).sum(1), x, perturb=GaussianNoise(T), rng=stream(1))
        torch.testing.assert_close(row, alone)


def test_bad_input_is_refused_in_a_line(rng):
    ebm = EBM(mlp_f(2, 4), StandardNormal(2))
    for wrong in ({"contrasts": 0}, {"trim": 1.0}, {"stabilizer": -1.0}):
        with pytest.raises(InputError, match="expected contrasts"):
            EnergyDiscrepancy(ebm, perturb=GaussianNoise(0.1), sampler=Langevin(1, 0.1), **wrong)
    algorithm = EnergyDiscrepancy(ebm, perturb=GaussianNoise(0.1), sampler=Langevin(1, 0.1))
    with pytest.raises(Unsupported, match="missing"):
        algorithm.losses(Batch(torch.zeros(2, 2), mask=torch.ones(2, 2)), rng=rng)
    with pytest.raises(InputError, match="positive variance"):
        GaussianNoise(0.0)
    with pytest.raises(InputError, match="probability"):
        Flips(0.0)
    with pytest.raises(InputError, match="5 columns"):
        Jumps((3, 2), 0.1)(torch.zeros(2, 4), rng=rng)
