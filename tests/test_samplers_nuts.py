"""The no-U-turn sampler: its trees against plain recursion, its law, and faults that the law shows."""

from __future__ import annotations

import math

import pytest
import torch
from laws import covariance_is, mean_is, normal_law, same_law
from scipy import stats
from torch import Tensor

from absynth.distributions import sum_event
from absynth.samplers import NUTS, Mass, trees
from absynth.samplers.trees import Trees
from absynth.samplers.warmup import Kernel, Point
from absynth.seeding import Streams, noise_like, stream

F64 = torch.float64
PRECISION = torch.tensor([[3.0, 1.1], [1.1, 1.0]], dtype=F64)


def gumbel(x: Tensor) -> Tensor:
    return sum_event(-x - (-x).exp())


def skewed(x: Tensor) -> tuple[Tensor, Tensor]:
    """A correlated Gaussian with a quartic: value and gradient by hand."""
    value = -0.5 * ((x @ PRECISION) * x).sum(1) - 0.1 * (x**4).sum(1)
    return value, -x @ PRECISION - 0.4 * x**3


# --- the tree ------------------------------------------------------------------------------------------------------


def turns(leaves: list[tuple[Tensor, Tensor]]) -> bool:
    """The criterion on leaves in order of time, from its definition."""
    first, last = leaves[0][1], leaves[-1][1]
    rho = sum(p for _, p in leaves) - 0.5 * (first + last)
    return bool(first @ rho <= 0 or last @ rho <= 0)


def recursive(x: Tensor, p: Tensor, step: float, sides: list[int], max_depth: int) -> list[tuple[Tensor, Tensor]]:
    """All leaves of the last trajectory that is valid, by plain recursion (Hoffman and Gelman 2014, algorithm 6)."""

    def leap(x: Tensor, p: Tensor, step: float) -> tuple[Tensor, Tensor]:
        p = p + 0.5 * step * skewed(x[None])[1][0]
        x = x + step * p
        return x, p + 0.5 * step * skewed(x[None])[1][0]

    def build(x: Tensor, p: Tensor, step: float, depth: int) -> list[tuple[Tensor, Tensor]] | None:
        if depth == 0:
            return [leap(x, p, step)]
        first = build(x, p, step, depth - 1)
        if first is None:
            return None
        second = build(*first[-1], step, depth - 1)
        if second is None or turns(first + second):
            return None
        return first + second

    leaves = [(x, p)]
    for depth in range(max_depth):
        end = leaves[-1] if sides[depth] else leaves[0]
        new = build(*end, step if sides[depth] else -step, depth)
        if new is None:
            return leaves
        leaves = leaves + new if sides[depth] else new[::-1] + leaves
        if turns(leaves):
            return leaves
    return leaves


@pytest.mark.parametrize("step", [0.05, 0.2, 0.5])
def test_a_trajectory_is_that_of_plain_recursion(step):
    """Its ends, its depth and its total weight; 60 chains, each at a depth of its own."""
    x = torch.randn(60, 2, generator=stream(1), dtype=F64)
    grown = Trees(skewed, Point(x, *skewed(x)), Kernel(step), 7, stream(2))
    grown.begin()
    momenta, sides = grown.ends[0, 1].clone(), (grown.choices[0] < 0.5).long().tolist()
    while grown.busy.any():
        grown.tick()
    depths = set()
    for i in range(60):
        leaves = recursive(x[i], momenta[i], step, sides[i], 7)
        assert 2 ** int(grown.depth[i]) == len(leaves)
        for side, leaf in ((0, leaves[0]), (1, leaves[-1])):
            torch.testing.assert_close(grown.ends[side, 0, i], leaf[0])
            torch.testing.assert_close(grown.ends[side, 1, i], leaf[1])
        h0 = skewed(x[i : i + 1])[0] - 0.5 * momenta[i] @ momenta[i]
        weights = torch.stack([skewed(a[None])[0][0] - 0.5 * p @ p for a, p in leaves]) - h0
        torch.testing.assert_close(grown.weight[i], weights.logsumexp(0))
        depths.add(int(grown.depth[i]))
        assert any(torch.allclose(grown.x[i], a) for a, _ in leaves)
    assert len(depths) > 1


def test_one_number_chooses_among_the_leaves_of_a_subtree_by_weight():
    """Eight leaves of known weights, offered one after another, with one uniform number a chain."""
    b = 200_000
    x = torch.zeros(b, 1, dtype=F64)
    chooser = Trees(skewed, Point(x, x[:, 0], x), Kernel(0.1), 4, stream(3))
    chooser.sub_weight = torch.full((b,), -math.inf, dtype=F64)
    chooser.choice = torch.rand(b, generator=stream(4), dtype=F64)
    weights = torch.tensor([0.2, 1.0, 3.0, 0.1, 0.0, 2.0, 0.5, 1.0], dtype=F64)
    for k, w in enumerate(weights):
        chooser.leaf = torch.full((3, b, 1), float(k), dtype=F64)
        chooser._offer(w.log().expand(b), x[:, 0], x)
    counts = torch.bincount(chooser.candidate[0][:, 0].long(), minlength=8)
    known = weights > 0
    assert counts[~known].sum() == 0
    expected = (weights / weights.sum() * b)[known]
    assert stats.chisquare(counts[known].numpy(), expected.numpy()).pvalue > 1e-5
    assert chooser.choice.min() >= 0
    assert chooser.choice.max() <= 1


# --- the law -------------------------------------------------------------------------------------------------------


def end(sampler: NUTS, chains: int = 40_000) -> Tensor:
    x = 1 + 0.5 * noise_like(torch.empty(chains, 1, dtype=F64), stream(5))
    return sampler(gumbel, x, rng=stream(6)).flatten()


def test_chains_that_do_not_wait_have_the_same_law():
    x = 1 + 0.5 * noise_like(torch.empty(4000, 1, dtype=F64), stream(5))
    record = NUTS(12, 0.7).record(gumbel, x, rng=stream(6))
    assert record.x.shape == (12, 4000, 1)
    for k in (4, 11):
        same_law(record.x[k].flatten(), stats.gumbel_r.cdf)
    torch.testing.assert_close(record.value, gumbel(record.x.flatten(0, 1)).view(12, 4000))
    adapted = NUTS(4, 0.1, warmup=60).record(gumbel, x, rng=stream(7))
    same_law(adapted.x[-1].flatten(), stats.gumbel_r.cdf)
    assert adapted.warm_gradients.min() > 60


def test_thinning_keeps_every_nth_state():
    x = noise_like(torch.empty(20, 2, dtype=F64), stream(5))
    whole, thin = NUTS(12, 0.7).record(gumbel, x, rng=stream(6)), NUTS(4, 0.7).record(gumbel, x, thin=3, rng=stream(6))
    assert torch.equal(whole.x[2::3], thin.x)
    assert torch.equal(whole.gradients.view(4, 3, 20).sum(1), thin.gradients)


def test_the_acceptance_of_a_chain_does_not_grow_while_it_waits_for_others():
    """Chains whose trajectories end early and late: what each reports is that of the same chain alone."""
    width = torch.tensor([[0.6], [1.0], [12.0]], dtype=F64)
    x = width * noise_like(torch.empty(3, 1, dtype=F64), stream(5))

    def run(rows: list[int]) -> tuple[Tensor, Tensor]:
        rng = Streams(4, rows)
        path = NUTS(5, 0.5).path(lambda y: -0.5 * ((y / width[rows]) ** 2).sum(1), x[rows], rng=rng)
        states = list(path)[1:]
        return torch.stack([s.acceptance for s in states]), torch.stack([s.gradients for s in states])

    together, gradients = run([0, 1, 2])
    assert gradients[:, 2].min() > gradients[:, 0].max()
    assert ((together > 0) & (together <= 1)).all()
    for row in range(3):
        torch.testing.assert_close(run([row])[0][:, 0], together[:, row])


def test_rows_do_not_depend_on_other_rows_trajectories():
    """A row among others that grow far longer trees is what it is alone."""

    def run(ids: range, narrow: bool) -> Tensor:
        width = torch.where(torch.arange(len(ids))[:, None] < 3, 1.0, 0.05 if narrow else 1.0).double()
        return NUTS(5, 0.04)(
            lambda x: -0.5 * ((x / width) ** 2).sum(1), torch.ones(len(ids), 2, dtype=F64), rng=Streams(1, ids)
        )

    torch.testing.assert_close(run(range(3), False), run(range(9), True)[:3], rtol=1e-10, atol=1e-10)


def always_last(self: Trees, log_weight: Tensor, value: Tensor, score: Tensor) -> None:
    self.candidate = self.leaf[0], value, score
    self.sub_weight = torch.logaddexp(self.sub_weight, log_weight)


def no_weight(self: Trees) -> tuple[Tensor, Tensor, Tensor]:
    log_weight, value, score = LEAPFROG(self)
    return torch.zeros_like(log_weight), value, score


def half_kick(self: Trees) -> tuple[Tensor, Tensor, Tensor]:
    """The last half step of the momentum is left out."""
    x, p, force = self.leaf
    step = (0.7 * (2 * self.side - 1) * self.busy)[:, None]
    p = p + 0.5 * step * force
    x = x + step * p
    value, score = self.value_and_score(x)
    self.leaf = torch.stack([x, p, score])
    return value - 0.5 * (p**2).sum(1) - self.energy, value, score


def one_way(self: Trees, rows: Tensor) -> None:
    self.choices[0] = 0.0
    BEGIN(self, rows)


LEAPFROG, BEGIN, JOIN = Trees._leapfrog, Trees._begin_subtree, Trees._join
FAULTS = {
    "the last leaf is always the candidate": ("_offer", always_last),
    "leaves are not weighted": ("_leapfrog", no_weight),
    "a half step of momentum is missing": ("_leapfrog", half_kick),
}


def test_the_law_and_planted_faults(monkeypatch):
    same_law(end(NUTS(5, 0.7)), stats.gumbel_r.cdf)
    for method, fault in FAULTS.values():
        with monkeypatch.context() as patch:
            patch.setattr(Trees, method, fault)
            with pytest.raises(AssertionError, match="law differs"):
                same_law(end(NUTS(5, 0.7)), stats.gumbel_r.cdf)


def test_subtrees_that_turn_must_not_be_joined(monkeypatch):
    """Without the checks inside a subtree a trajectory could not be begun from each of its states."""
    law = lambda: NUTS(8, 1.1)(lambda x: -0.5 * (x**2).sum(1), torch.full((60_000, 1), 0.5, dtype=F64), rng=stream(8))  # noqa: E731
    normal_law(law().flatten(), 0.0, 1.0)
    monkeypatch.setattr(Trees, "_subtree_turns", lambda self: torch.zeros_like(self.busy))
    with pytest.raises(AssertionError):
        normal_law(law().flatten(), 0.0, 1.0)


@pytest.mark.parametrize("event", [(2, 3), (1,), (2, 1, 2)])
def test_events_of_any_shape(event):
    sigma = torch.linspace(0.5, 2.0, math.prod(event), dtype=F64).view(event)
    target = lambda x: -0.5 * sum_event((x / sigma) ** 2)  # noqa: E731
    x = NUTS(6, 0.5, mass=Mass(scale=sigma))(target, torch.zeros(5000, *event, dtype=F64), rng=stream(9))
    covariance_is(x.flatten(1), sigma.flatten().square().diag())
    mean_is(x, 0.0)


def test_the_criterion_stops_before_a_full_turn():
    """On N(0, 1) a trajectory of half a period turns: with small steps its length is near π, not more than 4π."""
    x = noise_like(torch.empty(400, 1, dtype=F64), stream(1))
    states = list(NUTS(3, 0.02).path(lambda x: -0.5 * (x**2).sum(1), x, rng=stream(2)))
    length = torch.stack([s.gradients for s in states[1:]]) * 0.02
    assert 1.5 < length.mean() < 7
    assert length.max() < 13


def test_divergences_are_counted_and_end_a_trajectory():
    def cliff(x: Tensor) -> Tensor:
        return -0.5 * (x**2).sum(1) - 1e7 * torch.relu(x[:, 0] - 1)

    states = list(NUTS(20, 0.5).path(cliff, torch.zeros(50, 2, dtype=F64), rng=stream(3)))
    diverged = torch.stack([s.diverged for s in states[1:]])
    assert 0.05 < diverged.mean() < 0.95
    assert states[-1].x.isfinite().all()
    smooth = list(NUTS(20, 0.5).path(lambda x: -0.5 * (x**2).sum(1), torch.zeros(50, 2, dtype=F64), rng=stream(3)))
    assert not torch.stack([s.diverged for s in smooth[1:]]).any()


def test_max_depth_bounds_a_trajectory_and_early_windows_are_shorter():
    flat = lambda x: -1e-8 * (x**2).sum(1)  # noqa: E731
    x = torch.zeros(5, 2, dtype=F64)
    states = list(NUTS(3, 0.1, max_depth=4).path(flat, x, rng=stream(3)))
    assert all((s.gradients == 15).all() for s in states[1:])
    first = Trees(lambda x: (flat(x), -2e-8 * x), Point(x, flat(x), x), Kernel(0.1, window=0), 10, stream(4))
    first.begin()
    while first.busy.any():
        first.tick()
    assert (first.count == 2**trees.CAUTIOUS - 1).all()
