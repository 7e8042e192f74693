"""Samplers' own arithmetic by hand: records, adaptation, schedules, verdicts at their limits."""

from __future__ import annotations

import math

import pytest
import torch

from absynth.errors import InputError
from absynth.samplers import AnnealedLangevin, Langevin, Mass, Underdamped, draw, mass
from absynth.samplers.diagnostics import acceptance, effective_sample_size, rank_normalize, split_rhat, tail_ess
from absynth.samplers.dual_averaging import DualAveraging
from absynth.samplers.noise_levels import ddpm_noise, log_snr_noise, log_spaced_noise
from absynth.samplers.preconditioned import width_of
from absynth.samplers.ramped import RampedLangevin
from absynth.samplers.record import Record, record_path
from absynth.samplers.summary import ChainSummary, summarize_chains
from absynth.samplers.tempering import at_temperatures, respaced
from absynth.samplers.warmup import Point, WarmUp, reasonable_step_size, windows
from absynth.seeding import noise_like, stream
from absynth.types import State

F64 = torch.float64


def tensor(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=F64)


def test_states_that_are_not_finite_teach_a_mass_matrix_nothing():
    """Chains about their own means; a coordinate in which a chain is not finite counts as its mean in every draw."""
    x = torch.arange(24.0, dtype=F64).view(3, 2, 4)
    x[1, 0, 0], x[1, 0, 1], x[1, 0, 2] = math.nan, math.inf, -math.inf
    found = mass._centred(x).view(3, 2, 4)
    assert found[:, 0, :3].tolist() == [[0.0] * 3] * 3
    assert found[:, 0, 3].tolist() == found[:, 1, 0].tolist() == [-8, 0, 8]


# --- records -------------------------------------------------------------------------------------------------------


def states(n: int, warmup: int):
    """State k is at k, with log density −k, acceptance k / 10, k gradients; every third one diverges."""
    for k in range(1 + warmup + n):
        one = tensor(k, k)
        yield State(
            x=one[:, None], log_density=-one, accepted=one, step_size=tensor(k, 2 * k), acceptance=one / 10,
            diverged=(one % 3 == 0).to(F64), gradients=one,
        )  # fmt: skip


def test_a_record_keeps_the_last_of_every_few_states_and_counts_all():
    record = record_path(states(6, warmup=2), 2, 3)
    assert record.x[..., 0].tolist() == [[5, 5], [8, 8]]
    assert record.value.tolist() == [[-5, -5], [-8, -8]]
    assert record.acceptance[:, 0].tolist() == pytest.approx([0.4, 0.7])
    assert record.diverged.tolist() == [[1, 1], [1, 1]]  # 3 and 6
    assert record.gradients.tolist() == [[12, 12], [21, 21]]
    assert record.warm_gradients.tolist() == [3, 3]
    assert record.step_size.tolist() == [8, 16]


def test_thinning_a_record_later_is_the_same():
    whole, direct = record_path(states(6, warmup=2), 2, 1), record_path(states(6, warmup=2), 2, 3)
    later = whole.thinned(3, whole.warm_gradients)
    for name in Record.__dataclass_fields__:
        if name != "score":
            torch.testing.assert_close(getattr(later, name), getattr(direct, name), msg=name)
    same = whole.thinned(1, tensor(7, 7))
    assert torch.equal(same.x, whole.x)
    assert same.warm_gradients.tolist() == [7, 7]


def test_a_sampler_without_acceptance_has_its_share_of_moves():
    class Halting:
        steps, calls = 1, 0

        def __call__(self, log_density, x, *, rng):
            self.calls += 1
            return x + tensor(1, self.calls % 4 == 0)[:, None]

    x = torch.zeros(2, 1, dtype=F64)
    with pytest.warns(UserWarning, match="effective sample size"):
        drawn = draw(lambda x: -(x**2).sum(1), x, Halting(), draws=9, warmup=3, rng=stream(1))
    assert drawn.x[0, :, 0].tolist() == [4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert drawn.acceptance.tolist() == [1.0, 0.25]  # of eight differences
    assert drawn.mean.tolist() == [(72 + 1 * 4 + 2 * 4 + 3) / 18]
    assert drawn.gradients.tolist() == drawn.warm_gradients.tolist() == [0, 0]


# --- adaptation ----------------------------------------------------------------------------------------------------


def test_two_steps_of_dual_averaging():
    """Hoffman and Gelman 2014, eq. 6, with t₀ = 10, γ = 0.2, κ = 0.75."""
    averaging = DualAveraging(tensor(0.5, 0.5), 0.8)
    assert averaging.frozen.tolist() == averaging.step_size.tolist() == pytest.approx([0.5, 0.5])
    averaging.update(tensor(0.3, math.nan))  # NaN is a rejection
    errors = [0.5 / 11, 0.8 / 11]
    first = [math.log(5) - error / 0.2 for error in errors]
    assert averaging.step_size.log().tolist() == pytest.approx(first)
    assert averaging.frozen.log().tolist() == pytest.approx(first)
    averaging.update(tensor(1.0, 1.0))
    errors = [error + (-0.2 - error) / 12 for error in errors]
    second = [math.log(5) - 2**0.5 / 0.2 * error for error in errors]
    assert averaging.step_size.log().tolist() == pytest.approx(second)
    weight = 2**-0.75
    assert averaging.frozen.log().tolist() == pytest.approx(
        [weight * b + (1 - weight) * a for a, b in zip(first, second)]
    )


def test_windows_by_hand():
    assert windows(40) == [10, 20]
    assert windows(41) == [10, 21]
    assert windows(120) == [10, 20, 70]  # a window that would leave less than the next one's length takes it all
    assert windows(200) == [10, 20, 40, 150]
    assert windows(2000) == [10, 20, 40, 80, 160, 320, 640, 1800]


def test_the_first_step_size_is_bounded_on_flat_densities_and_on_needles():
    x = torch.zeros(3, 2, dtype=F64)
    flat = lambda x: (0 * x.sum(1), torch.zeros_like(x))  # noqa: E731
    assert reasonable_step_size(1.0, Mass(), flat, Point(x, *flat(x)), rng=stream(1)).tolist() == [1e6] * 3
    needle = lambda x: (torch.where((x == 0).all(1), 0.0, -math.inf), torch.zeros_like(x))  # noqa: E731
    assert reasonable_step_size(1.0, Mass(), needle, Point(x, *needle(x)), rng=stream(1)).tolist() == [1e-12] * 3


def test_the_first_step_size_is_where_the_acceptance_crosses():
    """One leapfrog step from x = 0 with momentum p on −½ x²: the energy error is p² h⁴ / 8 − p² h⁶ / 32 … exactly
    ½ (x'² + p'² − p²) with x' = h p, p' = p (1 − h²/2); a doubling stops at the first one above 0.223."""
    normal = lambda x: (-0.5 * (x**2).sum(1), -x)  # noqa: E731
    x = torch.zeros(50, 1, dtype=F64)
    p = noise_like(x, stream(3))[:, 0]

    def error(h):
        return 0.5 * ((h * p) ** 2 + (p * (1 - h**2 / 2)) ** 2 - p**2)

    up = reasonable_step_size(0.01, Mass(), normal, Point(x, *normal(x)), rng=stream(3))
    assert (error(up) >= 0.223).all()
    assert (error(up / 2) < 0.223).all()
    down = reasonable_step_size(1024.0, Mass(), normal, Point(x, *normal(x)), rng=stream(3))
    assert (error(down) < 0.223).all()
    assert (error(2 * down) >= 0.223).all()


@pytest.mark.parametrize("first", [0.01, 0.7, 64.0])
def test_the_first_step_size_of_chains_anywhere_by_a_loop(first):
    """One leapfrog step on −½ x² / v from x with momentum p, L = 2; doubled or halved while its error allows it."""
    v, mass = 10.0, Mass(scale=tensor(2.0))
    normal = lambda x: (-0.5 * (x**2).sum(1) / v, -x / v)  # noqa: E731
    x = 8 * noise_like(torch.empty(80, 1, dtype=F64), stream(7))
    found = reasonable_step_size(first, mass, normal, Point(x, *normal(x)), rng=stream(3))

    def good(x, p, h):
        half = p - 0.5 * h * 2 * x / v
        y = x + h * 2 * half
        q = half - 0.5 * h * 2 * y / v
        return (x**2 - y**2) / (2 * v) + (p**2 - q**2) / 2 > -0.223

    for chain in range(80):
        at, p, h = float(x[chain]), float(noise_like(x, stream(3))[chain]), first
        up = good(at, p, h)
        while good(at, p, h) == up:
            h = 2 * h if up else h / 2
        assert float(found[chain]) == pytest.approx(h)


def test_chains_share_the_median_step_but_for_those_far_below():
    warm = WarmUp.__new__(WarmUp)
    warm.mass, warm.ends = Mass(), [10]
    warm.averaging = DualAveraging(tensor(3.0, 9.0, 3.0, 1.01, 0.99), 0.8)
    assert warm.frozen.step_size.tolist() == pytest.approx([3, 3, 3, 3, 0.99])
    warm.ends = []
    assert warm.frozen.step_size.tolist() == pytest.approx([3, 9, 3, 1.01, 0.99])


def test_widths_are_those_of_the_curvature_and_where_there_is_none_of_the_mean():
    precision = tensor(4.0, 16.0, -1.0)
    log_density = lambda x: -0.5 * (precision * x**2).sum(1)  # noqa: E731
    found = width_of(log_density, torch.randn(6, 3, generator=stream(1), dtype=F64), rng=stream(2))
    assert found.tolist() == pytest.approx([1 / 2, 1 / 4, 10**-0.5])


# --- schedules -----------------------------------------------------------------------------------------------------


def test_temperatures_of_annealing():
    assert AnnealedLangevin(3, 0.1, hot=4.0, cold=1.0).temperatures() == pytest.approx([4, 2, 1])
    assert AnnealedLangevin(3, 0.1, hot=4.0, cold=0.0).temperatures() == pytest.approx([4, 1, 0])
    assert AnnealedLangevin(1, 0.1, hot=4.0).temperatures() == [4.0]
    assert AnnealedLangevin(2, 0.1, hot=4.0).temperatures() == [4.0, 1.0]
    assert RampedLangevin(2, 0.1).temperatures() == [0.0, 1.0]
    assert AnnealedLangevin(0, 0.1).temperatures() == []
    ramp = RampedLangevin(11, 0.1, zero_until=0.2, one_from=0.6).temperatures()
    assert ramp == pytest.approx([0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    assert Langevin(5, 0.2, 0.3).temperature == pytest.approx(2.25)


@pytest.mark.parametrize(
    ("sampler", "temperatures"),
    [(AnnealedLangevin(3, 0.2, hot=9.0, cold=0.0), (9, 2.25, 0)), (RampedLangevin(3, 0.2, 0.0, 0.8), (0, 0.625, 1))],
    ids=["annealed", "ramped"],
)
def test_a_step_has_the_noise_of_its_temperature_and_at_zero_draws_none(sampler, temperatures):
    x, rng = torch.full((4, 2), 3.0, dtype=F64), stream(5)
    expected = [x]
    for temperature in temperatures:
        x = x - 0.02 * x
        if temperature:
            x = x + 0.2 * temperature**0.5 * noise_like(x, rng)
        expected.append(x)
    log_density = lambda x: -0.5 * (x**2).sum(1)  # noqa: E731
    after = stream(5)
    found = [s.x for s in sampler.path(log_density, expected[0], rng=after)]
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected):
        torch.testing.assert_close(got, wanted)
    assert torch.equal(noise_like(x, after), noise_like(x, rng))  # the generator stands where it should
    torch.testing.assert_close(sampler(log_density, expected[0], rng=stream(5)), expected[-1])
    assert sampler.temperature == temperatures[-1]


def test_one_step_of_baoab():
    x = torch.full((4, 2), 3.0, dtype=F64)
    rng = stream(5)
    v, noise = noise_like(x, rng), noise_like(x, rng)
    h, keep = 0.4, math.exp(-0.5 * 0.4)
    v = v - h / 2 * x
    y = x + h / 2 * v
    v = keep * v + (1 - keep**2) ** 0.5 * noise
    y = y + h / 2 * v
    sampler = Underdamped(1, h, friction=0.5)
    torch.testing.assert_close(sampler(lambda x: -0.5 * (x**2).sum(1), x, rng=stream(5)), y)


def test_noise_levels_by_hand():
    assert ddpm_noise((0, 1), last=3) == pytest.approx((0.01, (1 - (1 - 1e-4) * (1 - 1.005e-2)) ** 0.5))
    assert log_spaced_noise(0.1, 0.9, 3) == pytest.approx((0.1, 0.3, 0.9))
    assert log_spaced_noise(0.1, 0.9, 1) == (0.1,)
    low, middle, high = log_snr_noise(0.1, 0.9, 3)
    ratio = [s / (1 - s**2) ** 0.5 for s in (low, middle, high)]
    assert (low, high) == pytest.approx((0.1, 0.9))
    assert ratio[1] ** 2 == pytest.approx(ratio[0] * ratio[2])
    assert log_snr_noise(0.1, 0.9, 1) == pytest.approx((0.1,))
    for levels in (log_snr_noise, log_spaced_noise):
        for wrong in ((0.0, 0.5, 2), (0.5, 0.5, 2), (0.5, 1.0, 2), (0.1, 0.5, 0)):
            with pytest.raises(InputError, match="expected 0 < low < high < 1"):
                levels(*wrong)


def test_a_tempered_density_runs_in_cooled_coordinates():
    log_density = lambda x: -(x**4).sum(1)  # noqa: E731
    y = tensor(1, 2, 1, 2)[:, None]
    found = at_temperatures(log_density, [1.0, 0.25], 2)(y)
    assert found.tolist() == [-1, -16, -0.25 * 2**4, -0.25 * 4**4]


def test_rungs_between_which_nothing_is_rejected_still_have_a_place():
    assert respaced([1.0, 0.5, 0.25], tensor(0.2, 0.2)) == pytest.approx([1, 0.5, 0.25])
    assert respaced([1.0, 0.5, 0.25], tensor(0.0, 0.0)) == pytest.approx([1, 0.5, 0.25])  # all count as 1e-3
    assert respaced([1.0, 0.5, 0.25], tensor(0.0, 0.999)) == pytest.approx([1, 0.5 * 0.5 ** (0.499 / 0.999), 0.25])


# --- diagnostics and verdicts --------------------------------------------------------------------------------------


def test_normal_scores_of_four_draws():
    quantile = lambda r: math.sqrt(2) * float(torch.erfinv(tensor(2 * (r - 3 / 8) / 4.25 - 1)))  # noqa: E731
    found = rank_normalize(tensor(7.0, -1.0, 5.0, 5.0)[None])
    assert found[0].tolist() == pytest.approx([quantile(4), quantile(1), quantile(2.5), quantile(2.5)], abs=1e-12)


def test_split_rhat_by_hand_leaves_out_the_middle_draw():
    """Halves (0, 2) and (4, 6) of 0 2 99 4 6: variances 2 within and 8 between, so √(8/2 + 1/2)."""
    assert float(split_rhat(tensor(0, 2, 99, 4, 6)[None])) == pytest.approx(4.5**0.5)
    assert float(split_rhat(tensor(0, 2, 2, 0)[None])) == pytest.approx(0.5**0.5)


def test_the_effective_size_of_alternating_draws_is_capped():
    x = tensor(*[1.0, -1.0] * 50)[None]
    assert float(effective_sample_size(x)) == pytest.approx(100 * math.log10(100))


def test_the_tails_are_those_at_five_percent():
    """Draws that are independent, and then the same where the lowest 5 % come in one run."""
    x = torch.rand(4, 500, generator=stream(1), dtype=F64)
    assert tail_ess(x) > 1000
    late = x.clone()
    late[:, :250] = 0.05 + 0.95 * x[:, :250]  # nothing below 5 % in the first half
    late[:, 250:275] = 0.04 * x[:, 250:275]
    assert tail_ess(late) < 100
    torch.testing.assert_close(tail_ess(late), tail_ess(-late))  # 5 % or 95 %, whichever is less


@pytest.mark.parametrize("event", [(), (3,)], ids=str)
def test_a_value_that_is_not_finite_is_named_with_its_draw_and_chain(event):
    x = torch.randn(2, 20, *event, generator=stream(1), dtype=F64)
    x[1, 7] = math.inf
    n = max(1, len(event) * 3)
    with pytest.warns(UserWarning, match=f"{n} of {40 * n} values are not finite, the first in draw 7 of chain 1"):
        assert effective_sample_size(x).isnan().all()


def test_acceptance_by_hand():
    x = tensor(1, 1, 2, 2, 3)[None, :, None].repeat(2, 1, 2)
    x[1, :, 0] = 5
    x[1, :, 1] = tensor(1, 2, 3, 4, 4)  # a move of one entry is a move
    assert acceptance(x).tolist() == [0.5, 0.75]


LONGER, STUCK = "run longer", "give a longer warmup or a shorter step"
BAD, MODES = "entries are not finite in some draw", f"{LONGER}, or cross modes with Tempering"


def summary(rhat=1.0, bulk=1000.0, tail=1000.0, stuck=0, bad=0, chains=4) -> ChainSummary:
    figures = (tensor(1000.0, bulk), tensor(1000.0, tail), tensor(1.0, rhat))
    return ChainSummary(chains, 100, *figures, stuck=torch.arange(chains) < stuck, not_finite=bad)


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        (summary(), ""),
        (summary(rhat=1.01), ""),
        (summary(rhat=1.0100001), f"R-hat 1.01 > 1.01: chains disagree; {MODES}"),
        (summary(rhat=1.0101), f"R-hat 1.0101 > 1.01: chains disagree; {MODES}"),
        (summary(rhat=1.0149), f"R-hat 1.0149 > 1.01: chains disagree; {MODES}"),
        (summary(rhat=1.0151), f"R-hat 1.02 > 1.01: chains disagree; {MODES}"),
        (summary(rhat=math.inf), f"R-hat inf > 1.01: chains disagree; {MODES}"),
        (summary(bulk=400.0), ""),
        (summary(bulk=399.0), f"effective sample size 399 < 400; {LONGER}"),
        (summary(tail=12.34), f"effective sample size 12.3 < 400; {LONGER}"),
        (summary(stuck=1), f"1 of 4 chains never moved; {STUCK}"),
        (summary(bad=2, rhat=math.nan), f"2 of 2 {BAD}; shorten the step"),
        (summary(bad=1, bulk=9.0), f"1 of 2 {BAD}; effective sample size 9 < 400; shorten the step; {LONGER}"),
        (summary(rhat=math.nan), f"1 of 2 entries never vary; {LONGER}"),
        (summary(rhat=math.nan, stuck=4), f"4 of 4 chains never moved; {STUCK}"),
    ],
)
def test_a_verdict_at_its_limits(given, warning):
    assert given.warning == warning


def test_the_worst_entry_is_the_verdict():
    given = ChainSummary(
        2, 9, tensor(5, 3, math.nan), tensor(4, 6, 7), tensor(1.1, math.nan, 1.2), torch.tensor([True, False]), 0
    )
    expected = {"smallest bulk ESS": 3, "smallest tail ESS": 4, "largest R-hat": 1.2, "stuck chains": 1}
    assert given.figures == pytest.approx(expected)
    assert given.ess_limits() == (3, 4)
    for wrong in (torch.zeros(0, 9, 1), torch.zeros(2, 3, 1)):
        with pytest.raises(InputError, match="at least 4 draws"):
            summarize_chains(wrong)


def test_chains_of_numbers_are_judged_as_events_of_one_entry():
    x = torch.randn(4, 50, generator=stream(1), dtype=F64)
    x[2] = 0.5
    plain, event = summarize_chains(x), summarize_chains(x[..., None])
    for name in ("ess_bulk", "ess_tail", "rhat"):
        assert getattr(plain, name).shape == ()
        torch.testing.assert_close(getattr(plain, name), getattr(event, name)[0])
    assert plain.stuck.tolist() == event.stuck.tolist() == [False, False, True, False]
    assert (plain.chains, plain.draws, plain.not_finite) == (4, 50, 0)
    x[0, 3] = math.nan
    assert summarize_chains(x).not_finite == summarize_chains(x[..., None]).not_finite == 1


def test_every_entry_of_an_event_of_several_dimensions_is_counted():
    x = torch.randn(4, 50, 2, 3, generator=stream(1), dtype=F64)
    x[1, 7, 0, 2] = x[2, 9, 1, 1] = x[3, 3, 1, 1] = math.inf
    found = summarize_chains(x)
    assert found.not_finite == 2
    assert found.rhat.isnan().nonzero().tolist() == [[0, 2], [1, 1]]
    x[1, 1:, :, :2] = x[1, :1, :, :2]
    assert not summarize_chains(x).stuck.any()  # one entry of the chain still moves
