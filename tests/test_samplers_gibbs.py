"""Gibbs with gradients against exact probabilities of small discrete models, and planted faults that these show."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from laws import BUDGET, mean_is
from scipy import stats
from torch import Tensor

from absynth.densities import Ising, lattice
from absynth.errors import InputError
from absynth.samplers import GibbsWithGradients, gibbs
from absynth.seeding import stream

F64 = torch.float64
COUPLING = torch.tensor([[0, 0.8, -0.5], [0.8, 0, 0.3], [-0.5, 0.3, 0]], dtype=F64)
FIELD = torch.tensor([0.5, -0.4, 0.2], dtype=F64)
POTTS_FIELD = torch.tensor([[0.9, 0.0, -0.7], [0.2, -0.5, 0.4]], dtype=F64)


def cubic(x: Tensor) -> Tensor:
    """Binary, with products of two and three entries: the gradient only estimates the gain of a flip."""
    s = 2 * x - 1
    return 0.5 * ((s @ COUPLING) * s).sum(1) + s @ FIELD + 1.2 * x.prod(1) + 0.7 * torch.sin(2 * x.sum(1))


def potts(x: Tensor) -> Tensor:
    """Two variables of three categories, one-hot: fields, an attraction, and a term that is not linear."""
    both = 0.8 * (x[:, 0] * x[:, 1]).sum(1) + 0.5 * (x.sum(1) ** 2) @ x.new_tensor([1.0, 0.3, 2.0])
    return (x * POTTS_FIELD).sum((1, 2)) + both


def all_binary(n: int) -> Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=F64)


def all_categorical(n: int, k: int) -> Tensor:
    codes = torch.tensor(list(itertools.product(range(k), repeat=n)))
    return torch.nn.functional.one_hot(codes, k).to(F64)


def has_law(x: Tensor, states: Tensor, log_density) -> None:
    """The rows of x are independent draws with the exact probabilities (chi-square)."""
    p = log_density(states).softmax(0)
    equal = (x.flatten(1)[:, None] == states.flatten(1)).all(2)
    assert bool(equal.any(1).all()), "a state that the model does not have"
    counts = equal.sum(0)
    expected = (p * len(x)).numpy()
    assert expected.min() >= 10
    value = stats.chisquare(counts.numpy(), expected).pvalue
    assert value > BUDGET, (
        f"law differs: p = {value:.2g}, got {(counts / len(x)).numpy().round(4)}, exact {p.numpy().round(4)}"
    )


def binary_law(steps: int = 40) -> None:
    x = torch.zeros(30_000, 3, dtype=F64)
    has_law(GibbsWithGradients(steps)(cubic, x, rng=stream(1)), all_binary(3), cubic)


def categorical_law(steps: int = 40) -> None:
    x = all_categorical(2, 3)[:1].repeat(30_000, 1, 1)
    has_law(GibbsWithGradients(steps, "categorical")(potts, x, rng=stream(2)), all_categorical(2, 3), potts)


def test_the_law_of_binary_variables():
    binary_law()


def test_the_law_of_categorical_variables():
    categorical_law()


def test_marginals_and_neighbours_of_an_ising_torus():
    """4 × 4, exact by the sum over 65,536 states."""
    model = Ising(0.25 * lattice(4, 4).double(), 0.1 * torch.arange(16, dtype=F64) / 16)
    states, p = model.states().double(), model.probabilities()
    x = GibbsWithGradients(250)(
        model.log_density, (torch.rand(4000, 16, generator=stream(3)) < 0.5).double(), rng=stream(4)
    )
    mean_is(x, p @ states)
    mean_is(x * x.roll(1, 1), p @ (states * states.roll(1, 1)))


# --- planted faults ------------------------------------------------------------------------------------------------


def no_test(monkeypatch):
    """Every change is made."""
    monkeypatch.setattr(gibbs, "uniform_like", lambda x, rng: REAL_UNIFORM(x, rng) * (1e-300 if x.ndim == 1 else 1))


def no_return(monkeypatch):
    """The probability of proposing the way back is left out of the ratio."""
    monkeypatch.setattr(gibbs, "_log_probability", lambda gains, change: torch.zeros(len(gains), dtype=F64))


def other_weights(monkeypatch):
    """Changes are chosen by exp(d), and accepted as if they had been by exp(d / 2)."""
    choose = gibbs._choose_change
    monkeypatch.setattr(gibbs, "_choose_change", lambda gains, rng: choose(2 * gains, rng))


def old_gains(monkeypatch):
    """The way back is weighed at the old state."""
    seen = []

    def gains(self, x, score):
        seen.append(REAL_GAINS(self, x, score))
        return seen[-2] if len(seen) % 2 == 0 else seen[-1]

    monkeypatch.setattr(GibbsWithGradients, "gains", gains)


def one_way(monkeypatch):
    """A flip that only sets entries and never clears them."""
    monkeypatch.setattr(GibbsWithGradients, "changed", lambda self, x, change: x.scatter(1, change[:, None], 1.0))


def two_flips(monkeypatch):
    """The entry after the chosen one flips too, where the chosen one is set."""

    def changed(self, x, change):
        y = REAL_CHANGED(self, x, change)
        both = REAL_CHANGED(self, y, (change + 1) % x.shape[1])
        return torch.where(x.gather(1, change[:, None]) == 1, both, y)

    monkeypatch.setattr(GibbsWithGradients, "changed", changed)


REAL_UNIFORM, REAL_GAINS, REAL_CHANGED = gibbs.uniform_like, GibbsWithGradients.gains, GibbsWithGradients.changed


@pytest.mark.parametrize("fault", [no_test, no_return, other_weights, old_gains, one_way, two_flips])
def test_faulty_flips_are_seen(fault, monkeypatch):
    fault(monkeypatch)
    with pytest.raises(AssertionError, match="law differs"):
        binary_law()


def same_change_back(monkeypatch):
    """The way back is taken for the same change, whose category the entry has already."""
    monkeypatch.setattr(GibbsWithGradients, "undone", lambda self, x, change: change)


def first_category_back(monkeypatch):
    monkeypatch.setattr(GibbsWithGradients, "undone", lambda self, x, change: change // 3 * 3)


def raw_gains(monkeypatch):
    """Gains that do not subtract what the entry's own category is worth; the own category may be chosen."""
    monkeypatch.setattr(GibbsWithGradients, "gains", lambda self, x, score: score.flatten(1))
    monkeypatch.setattr(GibbsWithGradients, "undone", lambda self, x, change: change)


@pytest.mark.parametrize("fault", [no_test, other_weights, old_gains, same_change_back, first_category_back, raw_gains])
def test_faulty_changes_of_category_are_seen(fault, monkeypatch):
    fault(monkeypatch)
    with pytest.raises(AssertionError, match="law differs"):
        categorical_law()


# --- details -------------------------------------------------------------------------------------------------------


def test_gains_are_exact_for_linear_models():
    """ℓ(x') − ℓ(x) of every flip and every change of category, where ℓ is linear."""
    w = torch.tensor([0.5, -1.0, 2.0], dtype=F64)
    x = all_binary(3)
    gains = GibbsWithGradients(1).gains(x, w.expand_as(x))
    for i in range(3):
        y = x.clone()
        y[:, i] = 1 - y[:, i]
        torch.testing.assert_close(gains[:, i], y @ w - x @ w)
    sampler, x = GibbsWithGradients(1, "categorical"), all_categorical(2, 3)
    gains = sampler.gains(x, POTTS_FIELD.expand_as(x))
    value = lambda x: (x * POTTS_FIELD).sum((1, 2))  # noqa: E731
    for k in range(6):
        change = torch.full((9,), k)
        y = sampler.changed(x, change)
        own = x.flatten(1)[:, k] == 1
        assert gains[own, k].isneginf().all()
        torch.testing.assert_close(gains[~own, k], (value(y) - value(x))[~own])
        assert torch.equal(sampler.changed(y, sampler.undone(x, change)), x)


def test_changes_are_chosen_by_half_their_gain():
    gains = torch.tensor([0.0, 2.0, -torch.inf, 1.0], dtype=F64).expand(100_000, 4)
    counts = torch.bincount(gibbs._choose_change(gains, stream(5)), minlength=4).numpy()
    p = np.exp([0, 1, -np.inf, 0.5])
    assert counts[2] == 0
    assert stats.chisquare(counts[[0, 1, 3]], (p / p.sum() * 100_000)[[0, 1, 3]]).pvalue > BUDGET


def test_one_entry_changes_at_most_and_states_stay_valid():
    x = (torch.rand(50, 2, 3, generator=stream(1)) < 0.5).double()
    states = list(GibbsWithGradients(20).path(lambda x: -(x - 0.3).square().flatten(1).sum(1), x, rng=stream(2)))
    assert len(states) == 21
    for a, b in itertools.pairwise(states):
        changed = (a.x != b.x).flatten(1).sum(1)
        assert torch.equal(changed, b.accepted.long())
    record = GibbsWithGradients(4).record(cubic, torch.zeros(6, 3, dtype=F64), thin=3, rng=stream(3))
    assert record.x.shape == (4, 6, 3)
    assert (record.gradients == 3).all()
    torch.testing.assert_close(record.value, cubic(record.x.flatten(0, 1)).view(4, 6))


def test_bad_input_is_one_line():
    assert GibbsWithGradients(3).temperature == 1.0
    with pytest.raises((InputError, TypeError), match="ternary"):  # a TypeError where types are checked
        GibbsWithGradients(1, "ternary")
    for sampler, x, message in (
        (GibbsWithGradients(1), torch.zeros(2, 3, dtype=torch.long), "floating point"),
        (GibbsWithGradients(1), torch.full((2, 3), 0.5), "0 and 1 only, got 0.5"),
        (GibbsWithGradients(1, "categorical"), torch.ones(2, 3, 4), "one-hot"),
    ):
        with pytest.raises(InputError, match=message):
            sampler(lambda x: -x.flatten(1).sum(1), x, rng=stream(0))
