"""The guard's rules at their limits: which value is the last that is no trouble, and what is remembered."""

from __future__ import annotations

import math

import pytest
import torch

from absynth.algorithms import ChainRecord
from absynth.guard import Guard, History, Remedies, Trouble, curvature, stability
from absynth.samplers import Langevin, Preconditioned
from absynth.seeding import stream

F64 = torch.float64


def feed(history: History, value: float, blocks: int = 1, factor: float = 10.0, floor: float = 0.0):
    """What the last update of the given number of blocks of one value finds."""
    found = [history.jump(value, factor, floor) for _ in range(20 * blocks)]
    assert found[:-1] == [None] * (len(found) - 1)
    return found[-1]


def test_a_block_is_twenty_magnitudes_and_remembers_their_median():
    history = History()
    for value in range(19):
        assert history.jump(-float(value), 10.0, 0.0) is None
    assert len(history.recent) == 19
    assert history.blocks == []
    assert history.jump(19.0, 10.0, 0.0) is None  # a first block has no past
    assert history.recent == []
    assert history.blocks == [10.0]


def test_a_jump_is_more_than_the_factor_above_the_past():
    for value, found in ((10.0, None), (10.5, (10.5, 1.0))):
        history = History()
        feed(history, 1.0, 12)
        assert feed(history, value) == found


def test_the_last_ten_blocks_are_too_recent_to_compare_with():
    history = History()
    feed(history, 1.0, 2)
    for _ in range(10):
        history.blocks.append(100.0)
    assert feed(history, 50.0) == (50.0, 1.0)  # of twelve blocks the first two count
    assert History.lag == 10
    later = History()
    later.blocks = [1.0] * 12 + [100.0] * 18  # of thirty the first half counts
    assert feed(later, 50.0) is None
    later.blocks = [1.0] * 15 + [100.0] * 15
    assert feed(later, 50.0) == (50.0, 1.0)


def test_few_blocks_are_compared_with_the_first():
    history = History()
    feed(history, 1.0)
    feed(history, 5.0)
    assert feed(history, 11.0) == (11.0, 1.0)


def test_a_gradient_that_grows_from_almost_nothing_in_its_first_hundred_updates_is_no_trouble():
    """An inference model has nothing to learn until the generator uses z."""
    guard = Guard({"prior"})
    for t in range(40):
        assert guard.check(t, rows(gradient=0.5), {}, {}) is None
    for t in range(40, 1000):
        assert guard.check(t, rows(gradient=700.0), {}, {}) is None
    late = Guard({"prior"})
    for t in range(100):
        late.check(t, rows(gradient=0.5), {}, {})
    found = [late.check(t, rows(gradient=51.0), {}, {}) for t in range(100, 120)]
    assert found[-1].evidence == "its gradient norm is 51, typically 51 now, 0.5 before"


def test_the_floor_is_the_least_size_of_trouble():
    for value, found in ((9.9, None), (10.1, (10.1, 1.0))):
        history = History()
        feed(history, 0.0, 12)
        assert feed(history, value, floor=10.0) == found
    history = History()
    feed(history, 0.0, 12)
    assert feed(history, 1.0) is None  # without a past and a floor there is nothing to be larger than


def rows(loss=0.0, gradient=1.0, end=1.0, start=1.0):
    return {"loss": {"prior": loss}, "gradient": {"prior": gradient}, "reach": {"prior": end, "prior start": start}}


def test_the_reach_of_a_chain_is_measured_by_its_starts_in_the_first_hundred_updates():
    guard, samplers = Guard({"prior"}), {"prior": "prior_sampler"}
    assert guard.check(0, rows(start=2.0), {}, samplers) is None
    assert guard.check(99, rows(start=3.0), {}, samplers) is None
    assert guard.check(100, rows(start=50.0, end=30.0), {}, samplers) is None  # exactly ten times
    found = guard.check(101, rows(start=50.0, end=30.1), {}, samplers)
    assert (found.kind, found.who, found.learner) == ("chain", "the prior chain", "prior")
    assert found.evidence == "it reached 30.1, its starts and the data 3"
    zero = Guard({"prior"})
    assert zero.check(0, rows(start=0.0, end=9.0), {}, samplers) is None  # starts at one point have no range
    small = Guard({"prior"})
    assert small.check(0, rows(start=0.5, end=5.0), {}, samplers) is None
    assert small.check(1, rows(start=0.1, end=5.1), {}, samplers).kind == "chain"
    late = Guard({"prior"})  # a chain that begins after a hundred updates has no range
    assert late.check(200, rows(start=1.0, end=50.0), {}, samplers) is None
    assert Guard({"prior"}, factor=2.0).check(0, rows(start=1.0, end=2.1), {}, samplers).kind == "chain"


def test_stability_is_trouble_above_its_limit_and_for_energies_alone():
    guard, samplers = Guard({"prior"}), {"prior": "prior_sampler"}
    assert guard.check(0, rows(), {"prior": 2.5}, samplers) is None
    assert guard.check(0, rows(), {"prior": 2.51}, samplers).kind == "stability"
    assert Guard(set()).check(0, rows(), {"prior": 9.0}, samplers) is None
    assert Guard({"prior"}, stability=1.0).check(0, rows(), {"prior": 1.1}, samplers).kind == "stability"


def test_a_gradient_may_jump_ten_times_further_than_a_gap():
    for what, quiet, loud in (("loss", 10.0, 10.1), ("gradient", 100.0, 101.0)):
        for value, trouble in ((quiet, False), (loud, True)):
            guard = Guard({"prior"}, gap=1e-9)
            for t in range(240):
                assert guard.check(t, rows(**{what: 1.0}), {}, {}) is None
            found = [guard.check(t, rows(**{what: value}), {}, {}) for t in range(240, 260)]
            assert any(found) == trouble
            if trouble:
                assert found[-1].kind == {"loss": "gap", "gradient": "gradient"}[what]


def test_a_gap_below_ten_is_no_trouble():
    for value, trouble in ((9.9, False), (10.1, True)):
        guard = Guard({"prior"})
        for t in range(240):
            guard.check(t, rows(loss=1e-6), {}, {})
        assert any(guard.check(t, rows(loss=-value), {}, {}) for t in range(240, 260)) == trouble


def test_the_energy_learns_slower_where_its_step_may_not_shorten():
    unstable = Trouble(1, "stability", "the prior chain", "prior_sampler", "", learner="prior")
    new, action = Remedies().after(unstable, 1.0, 0.5)
    assert (new.step_size, new.learning_rate) == ({}, {"prior": 0.5})
    assert action == "another random stream, learning rate of prior x 0.5"
    new, action = Remedies().after(unstable, 0.5, 0.5)
    assert (new.step_size, new.learning_rate) == ({"prior_sampler": 0.5}, {})
    posterior = Trouble(1, "chain", "the posterior chain", "posterior_sampler", "")  # nobody learns from it
    new, action = Remedies(1, 1).after(posterior, 1.0, 0.5)
    assert (new.tries, new.step_size, new.learning_rate, action) == (2, {}, {}, "another random stream")
    gap = Trouble(1, "gap", "prior", "prior_sampler", "")
    assert Remedies(1, 1).after(gap, 0.5, 1.0)[0].step_size == {"prior_sampler": 0.5}
    new = Remedies(2, 2).after(gap, 0.5, 1.0)[0]  # the rate's turn, which is forbidden
    assert (new.step_size, new.learning_rate) == ({"prior_sampler": 0.5}, {})


def test_remedies_for_one_trouble_leave_those_before_as_they_are():
    before = Remedies(1, 1, {"a": 0.5}, {"b": 0.25})
    before.after(Trouble(1, "stability", "x", "a", ""), 0.1, 0.1)
    assert before == Remedies(1, 1, {"a": 0.5}, {"b": 0.25})
    assert str(Remedies()) == "another random stream"


def test_the_curvature_of_a_wrapped_sampler_is_that_of_its_coordinates():
    """Precisions 1 and 4 in x are 9 and 1 in y = x / (3, ½); δ²λ of the sampler inside is 0.04 · 9."""
    precision = torch.tensor([1.0, 4.0], dtype=F64)
    log_density = lambda x: -0.5 * (precision * x**2).sum(1)  # noqa: E731
    x = torch.randn(40, 2, generator=stream(1), dtype=F64)
    scale = torch.tensor([3.0, 0.5], dtype=F64)
    chain = ChainRecord(Preconditioned(Langevin(1, 0.2), scale), log_density, x, x)
    found = curvature(chain, 0.2, rng=stream(2), rows=5, iterations=20)
    assert found.shape == (5,)
    torch.testing.assert_close(found, torch.full((5,), 9.0, dtype=F64))
    assert stability({"prior": chain}, rng=stream(2))["prior"] == pytest.approx(0.36, rel=1e-2)


def test_a_small_curvature_is_measured_as_well_as_a_large_one():
    for precision in (1e-3, 1e3):
        x = torch.randn(4, 3, generator=stream(1), dtype=F64)
        chain = ChainRecord(Langevin(1, 0.2), lambda x, p=precision: -0.5 * p * (x**2).sum(1), x, x)
        assert curvature(chain, 0.1, rng=stream(2)).tolist() == pytest.approx([precision] * 4)
        assert curvature(chain, 0.1, rng=stream(2), iterations=1).tolist() == pytest.approx([precision] * 4)


def test_curvature_is_a_secant_over_the_given_length():
    """log p = −|x| has none at a point, and a step of length l from 0 changes its score from 0 to −1."""
    x = torch.zeros(3, 1, dtype=F64)
    chain = ChainRecord(Langevin(1, 0.2), lambda x: -x.abs().sum(1), x, x)
    for length in (0.1, 0.5):
        assert curvature(chain, length, rng=stream(1)).tolist() == pytest.approx([1 / length] * 3)
    assert math.isclose(stability({"a": chain}, rng=stream(1))["a"], 0.2**2 / 0.2)
