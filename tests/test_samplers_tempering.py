"""Parallel tempering: exchanges leave every rung's law alone, the cold rung has the target's, and faults show."""

from __future__ import annotations

import math

import pytest
import torch
from laws import covariance_is, mean_is, normal_law, same_law
from scipy import stats
from torch import Tensor

import absynth as ab
from absynth.errors import InputError
from absynth.samplers import HMC, MALA, NUTS, Tempering, tempering
from absynth.seeding import Streams, noise_like, stream

F64 = torch.float64
BETAS = (1.0, 0.5, 0.2, 0.1)
SHARE = 0.7


def normal(x: Tensor) -> Tensor:
    return -0.5 * (x**2).sum(1)


def modes(x: Tensor) -> Tensor:
    """0.7 N(3, 1) + 0.3 N(−3, 1) in each coordinate's own direction: modes six standard deviations apart."""
    return torch.logaddexp(math.log(SHARE) + normal(x - 3), math.log(1 - SHARE) + normal(x + 3))


def modes_cdf(x):
    return SHARE * stats.norm.cdf(x - 3) + (1 - SHARE) * stats.norm.cdf(x + 3)


def at_their_laws(n: int, seed: int) -> Tensor:
    """Exact states of every rung on N(0, 1): N(0, 1 / β), ``[rungs, n, 1]``."""
    scale = torch.tensor(BETAS, dtype=F64).rsqrt()[:, None, None]
    return scale * noise_like(torch.empty(len(BETAS), n, 1, dtype=F64), stream(seed))


# --- exchanges -----------------------------------------------------------------------------------------------------


def laws_hold(exchange=tempering.exchange) -> None:
    """After exchanges of both parities every rung has its law still, and rungs are independent."""
    rungs, rng = at_their_laws(100_000, 1), stream(2)
    for k in range(4):
        rungs, _ = exchange(normal, rungs, BETAS, k % 2, rng=rng)
    for beta, x in zip(BETAS, rungs):
        normal_law(x.flatten(), 0.0, 1 / beta)
    covariance_is(rungs[..., 0].T, torch.tensor(BETAS, dtype=F64).reciprocal().diag())


def test_exchanges_leave_every_law_as_it_is():
    laws_hold()


def always(log_density, rungs, betas, parity, *, rng):
    """No test: neighbours always exchange."""
    return tempering.exchange(lambda x: 0 * log_density(x), rungs, betas, parity, rng=rng)


def reversed_ratio(log_density, rungs, betas, parity, *, rng):
    return tempering.exchange(lambda x: -log_density(x), rungs, betas, parity, rng=rng)


def half_ratio(log_density, rungs, betas, parity, *, rng):
    return tempering.exchange(lambda x: 0.5 * log_density(x), rungs, betas, parity, rng=rng)


def wrong_betas(log_density, rungs, betas, parity, *, rng):
    """The ratio of temperatures of another ladder."""
    return tempering.exchange(log_density, rungs, [b**2 for b in betas], parity, rng=rng)


def copies(log_density, rungs, betas, parity, *, rng):
    """The colder rung takes the hotter one's state and does not give its own."""
    new, rejection = tempering.exchange(log_density, rungs, betas, parity, rng=rng)
    return torch.cat([new[:1], rungs[1:]]), rejection


def half_a_swap(log_density, rungs, betas, parity, *, rng):
    """All chains exchange where the first one does."""
    new, rejection = tempering.exchange(log_density, rungs, betas, parity, rng=rng)
    first = (new[:, :1] != rungs[:, :1]).any(0).any()
    return (new if first else rungs), rejection


FAULTS = [always, reversed_ratio, half_ratio, wrong_betas, copies]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_faulty_exchanges_are_seen(fault):
    with pytest.raises(AssertionError, match=r"not N\(|covariance"):
        laws_hold(fault)


def test_each_chain_exchanges_its_own_states_and_decides_alone():
    rungs = at_their_laws(500, 3)
    new, _ = tempering.exchange(normal, rungs, BETAS, 0, rng=stream(4))
    assert torch.equal(new.sort(0).values, rungs.sort(0).values)
    swapped = (new != rungs).any(0).flatten()
    assert 0.1 < swapped.double().mean() < 0.99
    new, _ = half_a_swap(normal, rungs, BETAS, 0, rng=stream(4))
    swapped = (new != rungs).any(0).flatten().double().mean()
    assert swapped in (0.0, 1.0) or 0.1 < swapped < 0.99


def test_pairs_take_turns():
    """Even pairs move in even rounds, odd ones in odd rounds, and the rejection of the others is not known."""
    rungs = at_their_laws(2000, 5)
    for parity, still in ((0, []), (1, [0, 3])):
        new, rejection = tempering.exchange(normal, rungs, BETAS, parity, rng=stream(6))
        moved = (new != rungs).flatten(1).any(1)
        assert [k for k in range(4) if not moved[k]] == still
        assert rejection.isnan().tolist() == [k % 2 != parity for k in range(3)]
    # β and β' on N(0, 1) in one dimension: P(stay) = 1 − (4 / π) arctan(√(β'/β)) for the chi-square's ratio.
    expected = 1 - 4 / math.pi * math.atan(math.sqrt(0.5))
    _, rejection = tempering.exchange(normal, at_their_laws(200_000, 7), BETAS, 0, rng=stream(8))
    assert abs(float(rejection[0]) - expected) < 0.005


def test_a_density_that_is_not_a_number_is_not_exchanged():
    rungs = at_their_laws(50, 9)
    new, _ = tempering.exchange(lambda x: x[:, 0] * math.nan, rungs, BETAS, 0, rng=stream(1))
    assert torch.equal(new, rungs)


# --- the cold rung -------------------------------------------------------------------------------------------------


def cold(sampler: Tempering, chains: int = 1500) -> Tensor:
    """Where chains end that all begin in the lighter mode."""
    start = -3 + noise_like(torch.empty(chains, 1, dtype=F64), stream(1))
    return sampler(modes, start, rng=stream(2)).flatten()


INNER = {
    "MALA": (MALA(2, 1.2), 100),
    "HMC": (HMC(1, 0.5, leapfrog_steps=3), 80),
    "NUTS": (NUTS(1, 0.8), 40),
}


@pytest.mark.parametrize("inner", INNER)
def test_the_cold_rung_has_the_targets_law(inner):
    sampler, rounds = INNER[inner]
    same_law(cold(Tempering(rounds, sampler, betas=BETAS)), modes_cdf)


def test_without_exchanges_chains_stay_in_their_mode(monkeypatch):
    nothing = torch.full((3,), math.nan, dtype=F64)
    monkeypatch.setattr(tempering, "exchange", lambda f, rungs, betas, parity, rng: (rungs, nothing))
    with pytest.raises(AssertionError, match="law differs"):
        same_law(cold(Tempering(100, MALA(2, 1.2), betas=BETAS)), modes_cdf)


def test_the_law_sees_faulty_exchanges_and_temperatures(monkeypatch):
    sampler = Tempering(100, MALA(2, 1.2), betas=BETAS)
    true = tempering.exchange
    for fault in (always, half_ratio):
        with monkeypatch.context() as patch:
            wrong = lambda *a, rng, fault=fault: fault(*a, rng=rng)  # noqa: E731
            patch.setattr(tempering, "exchange", lambda *a, rng, wrong=wrong: _with(true, wrong, *a, rng=rng))
            with pytest.raises(AssertionError, match="law differs"):
                same_law(cold(sampler), modes_cdf)
    with monkeypatch.context() as patch:  # rungs at other temperatures than exchanges believe
        patch.setattr(tempering, "at_temperatures", lambda f, betas, chains: f)
        with pytest.raises(AssertionError, match="law differs"):
            same_law(cold(sampler), modes_cdf)


def _with(true, wrong, *arguments, rng):
    """Run a fault that calls the true exchange while the module's name is patched."""
    before, tempering.exchange = tempering.exchange, true
    try:
        return wrong(*arguments, rng=rng)
    finally:
        tempering.exchange = before


def test_the_law_after_a_warm_up_in_ten_dimensions():
    """Modes with weights 0.7 and 0.3, all chains begun in the lighter one."""
    density = lambda x: torch.logaddexp(math.log(SHARE) + normal(x - 1), math.log(1 - SHARE) + normal(x + 1))  # noqa: E731
    start = -1 + noise_like(torch.empty(500, 10, dtype=F64), stream(3))
    x = Tempering(100, HMC(1, 0.3, leapfrog_steps=4), betas=BETAS, warmup=60)(density, start, rng=stream(4))
    mean_is(x, 2 * SHARE - 1)
    mean_is((x.mean(1) > 0).double()[:, None], SHARE + (1 - 2 * SHARE) * stats.norm.sf(math.sqrt(10)))


# --- path, warm-up, input ------------------------------------------------------------------------------------------


def test_the_path_has_every_round_and_the_call_ends_where_it_does():
    sampler, x = Tempering(7, HMC(1, 0.3), betas=BETAS, warmup=10), torch.zeros(3, 2, 2, dtype=F64)
    states = list(sampler.path(lambda x: -(x**2).flatten(1).sum(1), x, rng=stream(1)))
    assert len(states) == 1 + 10 + 7
    assert torch.equal(sampler(lambda x: -(x**2).flatten(1).sum(1), x, rng=stream(1)), states[-1].x)
    torch.testing.assert_close(states[-1].log_density, -(states[-1].x ** 2).flatten(1).sum(1))
    record = Tempering(3, HMC(1, 0.3), betas=BETAS).record(normal, torch.zeros(4, 2, dtype=F64), thin=2, rng=stream(1))
    assert record.x.shape == (3, 4, 2)


def test_respaced_temperatures_make_rejections_even():
    """From a badly spaced ladder on N(0, I) in 30 dimensions."""
    sampler = Tempering(0, HMC(1, 0.2, leapfrog_steps=3), betas=(1.0, 0.95, 0.9, 0.2), warmup=400)
    seen = []
    true = tempering.respaced

    def watched(betas, rejection):
        seen.append((rejection, true(betas, rejection)))
        return seen[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempering, "respaced", watched)
        sampler(normal, noise_like(torch.empty(60, 30, dtype=F64), stream(1)), rng=stream(2))
    first, last = seen[0][0], seen[-1][0]
    assert first.max() - first.min() > 0.5
    assert last.max() - last.min() < 0.5 * (first.max() - first.min())
    assert all(a > b for a, b in zip(seen[-1][1], seen[-1][1][1:]))


def test_bad_input_is_one_line():
    for betas in ((1.0,), (0.9, 0.5), (1.0, 0.5, 0.5), (1.0, 0.0)):
        with pytest.raises(InputError, match="betas must fall from 1"):
            Tempering(1, MALA(1, 0.1), betas=betas)
    for steps, warmup in ((-1, 0), (0, -1)):
        with pytest.raises(InputError, match="0 or more"):
            Tempering(steps, MALA(1, 0.1), warmup=warmup)
    assert Tempering(0, MALA(1, 0.1), betas=(1.0, 0.5)).temperature == 1.0
    with pytest.raises(InputError, match="one stream a row"):
        Tempering(1, MALA(1, 0.1))(normal, torch.zeros(2, 1, dtype=F64), rng=Streams(0, range(2)))
    assert ab.Tempering is Tempering


def test_rungs_are_placed_anew_after_a_quarter_a_half_and_all_of_the_second_half_of_the_warm_up(monkeypatch):
    rounds, placed = [], []
    exchange = tempering.exchange

    def counted(value, rungs, betas, parity, *, rng):
        rounds.append(parity)
        return exchange(value, rungs, betas, parity, rng=rng)

    monkeypatch.setattr(tempering, "exchange", counted)
    monkeypatch.setattr(tempering, "respaced", lambda betas, rejection: placed.append(len(rounds)) or betas)
    Tempering(4, HMC(1, 0.3, 2), warmup=80)(normal, torch.zeros(3, 1, dtype=F64), rng=stream(1))
    assert placed == [10, 20, 40]
    assert rounds == [0, 1] * 22
