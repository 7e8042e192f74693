"""Where chains begin: laws of first states, and stored chains, none of them lost and none taken twice."""

from __future__ import annotations

import pytest
import torch
from laws import BUDGET, mean_is, normal_law, same_law, uniform_ranks
from scipy import stats
from torch import Tensor, nn

from absynth.distributions import GaussianGenerator, StandardNormal, Uniform, sum_event
from absynth.errors import InputError
from absynth.samplers import FromData, FromGenerator, FromNoise, Langevin, Persistent
from absynth.samplers.start import Start
from absynth.seeding import Streams, stream

F64 = torch.float64


def persistent(size: int, restart: float = 0.0, *shape: int) -> Persistent:
    return Persistent(size, StandardNormal(*shape or (1,)).double(), restart, rng=stream(0))


def test_noise_starts_at_the_reference(rng):
    x, ticket = FromNoise(Uniform(3, low=-2.0, high=1.0).double()).draw(torch.zeros(10_000, 5), rng=rng)
    assert x.shape == (10_000, 3)
    assert ticket is None
    same_law(x.flatten(), stats.uniform(-2, 3).cdf)


def test_data_start_is_the_data_plus_noise(rng):
    data = torch.linspace(-1, 1, 50_000, dtype=F64).view(-1, 1).requires_grad_()
    x, ticket = FromData().draw(data, rng=rng)
    assert torch.equal(x, data)
    assert not x.requires_grad
    assert ticket is None
    noisy, _ = FromData(noise=0.03).draw(data, rng=rng)
    assert not noisy.requires_grad
    normal_law((noisy - data.detach()).flatten(), 0.0, 0.03**2)


def test_generator_start_is_the_draft_and_its_ticket_the_latent(rng):
    generator = GaussianGenerator(nn.Linear(2, 5), 0.3).double()
    start = FromGenerator(generator, StandardNormal(2).double())
    x, z = start.draw(torch.zeros(4000, 5, dtype=F64), rng=rng)
    assert z.shape == (4000, 2)
    mean_is(z, 0.0)
    assert torch.equal(x, generator(z).mode)
    assert not x.requires_grad
    assert not z.requires_grad
    assert list(start.parameters()) == []  # the generator is the algorithm's player, not the start's
    start.keep(z, x)


def test_stored_chains_begin_at_their_reference():
    normal_law(persistent(50_000).chains.flatten(), 0.0, 1.0)


def test_no_chain_is_drawn_twice_in_a_batch_and_all_equally_often(rng):
    start = persistent(20)
    tickets = [start.draw(torch.zeros(7, 1), rng=rng)[1] for _ in range(500)]
    assert all(len(t.unique()) == 7 for t in tickets)
    uniform_ranks(torch.stack(tickets)[:, 0], 20)
    assert len(start.draw(torch.zeros(20, 1), rng=rng)[1].unique()) == 20


def test_chains_come_back_to_their_own_rows(rng):
    start = persistent(10, 0.0, 2, 3)
    before = start.chains.clone()
    chains, ticket = start.draw(torch.zeros(4, 2, 3), rng=rng)
    assert torch.equal(chains, before[ticket])
    chains += 100  # what is drawn is a copy: a chain that was never kept leaves the stored ones as they were
    assert torch.equal(start.chains, before)
    start.keep(ticket, chains.clone().requires_grad_())
    assert not start.chains.requires_grad
    assert torch.equal(start.chains[ticket], before[ticket] + 100)
    others = [i for i in range(10) if i not in ticket]
    assert torch.equal(start.chains[others], before[others])


@pytest.mark.parametrize("restart", [0.05, 0.5])
def test_chains_restart_at_the_stated_rate(restart, rng):
    start = persistent(4000, restart)
    start.keep(torch.arange(4000), torch.full((4000, 1), 1000.0, dtype=F64))
    chains, _ = start.draw(torch.zeros(4000, 1, dtype=F64), rng=rng)
    fresh = chains[chains < 500]
    assert stats.binomtest(len(fresh), 4000, restart).pvalue > BUDGET
    assert stats.binomtest(len(fresh), 4000, restart * 1.5).pvalue < BUDGET
    normal_law(fresh, 0.0, 1.0)


def test_without_restarts_no_chain_is_lost(rng):
    start = persistent(300)
    start.keep(torch.arange(300), torch.full((300, 1), 1000.0, dtype=F64))
    assert (start.draw(torch.zeros(300, 1), rng=rng)[0] == 1000).all()


def test_short_runs_of_stored_chains_are_one_long_run(rng):
    """Four visits of three Langevin steps are twelve steps: mean a¹²m_0, variance by twelve recursions."""
    start, sampler, m = persistent(50_000), Langevin(3, 0.5), 2.0

    def visit(move: Langevin) -> Tensor:
        chains, ticket = start.draw(torch.zeros(50_000, 1), rng=rng)
        start.keep(ticket, move(lambda x: sum_event(-0.5 * (x - m) ** 2), chains, rng=rng))
        return start.chains.flatten()

    a, mean, var = 1 - 0.5**2 / 2, 0.0, 1.0
    for _ in range(12):
        mean, var = m + a * (mean - m), a * a * var + 0.25
    for _ in range(4):
        last = visit(sampler)
    normal_law(last, mean, var)
    with pytest.raises(AssertionError, match=r"not N\("):
        normal_law(visit(sampler), mean, var)  # a fifth visit is another law


def test_stored_chains_are_saved_with_the_run(rng):
    start, other = persistent(6, 0.1), Persistent(6, StandardNormal(1).double(), 0.1, rng=stream(9))
    assert list(start.state_dict()) == ["chains"]
    assert not torch.equal(start.chains, other.chains)
    other.load_state_dict(start.state_dict())
    assert torch.equal(start.draw(torch.zeros(3, 1), rng=stream(4))[0], other.draw(torch.zeros(3, 1), rng=stream(4))[0])
    assert "size=6" in repr(start)
    assert "restart=0.1" in repr(start)


def test_a_batch_larger_than_the_stored_chains_is_refused(rng):
    with pytest.raises(InputError, match="at least 11, got 10"):
        persistent(10).draw(torch.zeros(11, 1), rng=rng)


@pytest.mark.parametrize(
    "start",
    [
        FromNoise(StandardNormal(3)),
        FromData(0.1),
        FromGenerator(GaussianGenerator(nn.Linear(2, 3), 0.3), StandardNormal(2)),
        Persistent(9, StandardNormal(3), 0.5, rng=stream(1)),
    ],
    ids=lambda s: type(s).__name__,
)
def test_same_rng_same_start(start, rng):
    assert isinstance(start, Start)
    x = torch.ones(9, 3)
    global_state = torch.get_rng_state()
    first, again, other = (start.draw(x, rng=stream(s))[0] for s in (1, 1, 2))
    assert torch.equal(global_state, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == x.shape
    with torch.inference_mode():
        assert torch.equal(start.draw(x, rng=stream(1))[0], first)


def test_rows_of_noise_starts_are_their_own(rng):
    for start in (FromNoise(StandardNormal(3)), FromData(0.1)):
        few, many = (start.draw(torch.ones(n, 3), rng=Streams(2, range(n)))[0] for n in (2, 5))
        assert torch.equal(few, many[:2])
