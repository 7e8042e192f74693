"""Figures of samples on inputs where they are known by hand, at the limits of their rules."""

from __future__ import annotations

import math

import pytest
import torch

from absynth.metrics import stein
from absynth.metrics.calibration import calibration
from absynth.metrics.clouds import chamfer
from absynth.metrics.clouds import coverage as cloud_coverage
from absynth.metrics.coverage import coverage
from absynth.metrics.displacement import best_of, constant_velocity, stochastic_constant_velocity
from absynth.metrics.grid import Grid
from absynth.metrics.kernel import mmd, modes_hit
from absynth.metrics.motion import autocorrelation, difference_spectrum, worst_factor
from absynth.metrics.ngram import NGram
from absynth.metrics.ranking import pca_reconstruction_error
from absynth.metrics.stein import stein_discrepancy
from absynth.metrics.two_sample import classifier_two_sample_test
from absynth.seeding import noise_like, stream

F64 = torch.float64


# --- motion --------------------------------------------------------------------------------------------------------


def test_the_autocorrelation_of_an_alternating_pixel():
    """+1, −1, …: minus 1 at odd lags and 1 at even ones, whatever the pixel's mean over time."""
    clip = 3 + torch.tensor([1.0, -1.0] * 4, dtype=F64).view(1, 1, 8, 1, 1).repeat(2, 3, 1, 2, 2)
    assert autocorrelation(clip, 3).tolist() == [-1.0, 1.0, -1.0]
    assert autocorrelation(torch.ones(1, 1, 8, 2, 2), 2).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("cycles", "band"), [(1, 0), (2, 1), (3, 1), (4, 2), (7, 2), (8, 3), (15, 3)])
def test_a_wave_that_changes_sign_has_its_power_in_its_octave(cycles, band):
    """Octaves begin at 1/16, 1/8 and 1/4 cycles a pixel; the power of a difference of 2 cos is 2 a pixel."""
    wave = (2 * math.pi * cycles / 32 * torch.arange(32, dtype=F64)).cos().expand(32, 32)
    clip = torch.stack([wave, -wave, wave])[None, None]
    found = difference_spectrum(clip)
    frequency = torch.fft.fftfreq(32, dtype=F64)
    radius = (frequency[:, None] ** 2 + frequency**2).sqrt()
    edges = [0, 1 / 16, 1 / 8, 1 / 4, 1]
    cells = ((radius >= edges[band]) & (radius < edges[band + 1])).sum()
    expected = torch.zeros(4)
    expected[band] = 2 * 32 * 32 / cells
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(difference_spectrum(clip.mT), expected)


def test_the_largest_factor_goes_both_ways_and_has_a_floor():
    ones = torch.ones(3)
    assert worst_factor(torch.tensor([1.0, 0.25, 2.0]), ones) == pytest.approx(4)
    assert worst_factor(torch.tensor([1.0, 0.5, 3.0]), ones) == pytest.approx(3)
    assert worst_factor(torch.tensor([10.0, 0.0]), torch.tensor([10.0, 0.2])) == pytest.approx(1)
    assert worst_factor(torch.tensor([10.0, 0.4]), torch.tensor([10.0, 0.0])) == pytest.approx(2)


# --- displacement --------------------------------------------------------------------------------------------------


def test_the_best_prediction_is_chosen_for_each_figure_and_each_agent():
    truth = torch.zeros(2, 2, 2)
    paths = torch.tensor(
        [[[[1.0, 0.0], [0.0, 3.0]], [[0.0, 1.0], [0.0, 0.0]]], [[[3.0, 4.0], [1.0, 0.0]], [[5.0, 0.0], [0.0, 4.0]]]]
    )
    found = best_of(paths, truth)
    assert found.average.tolist() == [2.0, 0.5]
    assert found.final.tolist() == [1.0, 0.0]


def test_constant_velocity_goes_on_from_the_last_position():
    past = torch.tensor([[[9.0, 9.0], [0.0, 1.0], [2.0, 0.0]]])
    assert constant_velocity(past, 3).tolist() == [[[4.0, -1.0], [6.0, -2.0], [8.0, -3.0]]]


def test_a_random_turn_keeps_speed_and_a_random_speed_keeps_direction():
    past = torch.tensor([[[0.0, 0.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, 3.0]]], dtype=F64)
    exact = constant_velocity(past, 4)
    still = stochastic_constant_velocity(past, 4, k=3, angle=0.0, log_speed=0.0, rng=stream(1))
    torch.testing.assert_close(still, exact.expand(3, 2, 4, 2))

    def steps(**options):
        paths = stochastic_constant_velocity(past, 2, k=20_000, rng=stream(1), **options)
        first, second = paths[..., 0, :] - past[:, -1], paths[..., 1, :] - paths[..., 0, :]
        torch.testing.assert_close(first, second)  # one turn and one speed a path
        return torch.view_as_complex(first.contiguous())

    straight = torch.view_as_complex((exact[:, 0] - past[:, -1]).contiguous())
    turned = steps(angle=10.0, log_speed=0.0) / straight
    torch.testing.assert_close(turned.abs(), torch.ones(20_000, 2, dtype=F64))
    assert turned.angle().std(0).rad2deg().tolist() == pytest.approx([10, 10], rel=0.03)
    noise = noise_like(torch.empty(2, 20_000, 2, dtype=F64), stream(1))[..., 0].T  # by agent, then by path
    torch.testing.assert_close(turned.angle(), (10 * noise).deg2rad())
    faster = steps(angle=0.0, log_speed=0.5) / straight
    torch.testing.assert_close(faster.imag, torch.zeros(20_000, 2, dtype=F64))
    assert faster.real.log().std(0).tolist() == pytest.approx([0.5, 0.5], rel=0.03)


# --- distances and coverage ----------------------------------------------------------------------------------------


def test_a_chamfer_distance_of_unequal_clouds():
    a = torch.tensor([[[0.0, 0.0, 0.0]]])
    b = torch.tensor([[[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]])
    assert chamfer(a, b).tolist() == [1 + (1 + 9) / 2] == chamfer(b, a).tolist()
    data = torch.cat([a, a + 10, a + 20])
    found = cloud_coverage(torch.cat([a, a + 1]), data)  # both are nearest to the first
    assert found.coverage == pytest.approx(1 / 3)
    assert found.distance == pytest.approx((0 + 2 * 3 * 81 + 2 * 3 * 361) / 3)


def test_points_on_the_surface_of_a_ball_are_inside():
    """Real 0, 1, 3 with k = 1: radii 1, 1 and 2. Sample 5 is on the surface of the ball about 3, and no other."""
    real, samples = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[5.0], [9.0]])
    found = coverage(real, samples, k=1)
    assert found.precision == 0.5
    assert found.density == 0.5
    assert found.coverage == pytest.approx(1 / 3)
    assert found.recall == pytest.approx(2 / 3)  # both samples' radius is 4: the reals at 1 and 3 are within it of 5


def test_mmd_of_two_points_under_two_bandwidths():
    a, b = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
    expected = 2 - (math.exp(-25 / 2) + math.exp(-25 / 18))
    assert mmd(a, b, [1.0, 3.0]) == pytest.approx(expected)
    many = torch.randn(1500, 1, dtype=F64, generator=stream(3))
    kernel = (-0.5 * (many - many.T) ** 2).exp().mean()  # more rows than a slice has
    to_zero = (-0.5 * many**2).exp().mean()
    assert mmd(many, torch.zeros(1, 1, dtype=F64), [1.0]) == pytest.approx(float(kernel + 1 - 2 * to_zero))


def test_a_mode_is_hit_at_exactly_its_share():
    x, centres = torch.tensor([[0.0]] * 98 + [[5.0]] * 2), torch.tensor([[0.0], [5.0]])
    assert modes_hit(x, centres, share=0.02) == 2
    assert modes_hit(x, centres, share=0.021) == 1


def test_principal_components_are_about_the_mean_of_the_normal_examples():
    train = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    test = torch.tensor([[2.0, 7.0], [9.0, 5.0]])
    assert pca_reconstruction_error(train, test, 1).tolist() == pytest.approx([4, 0])
    assert pca_reconstruction_error(train, test, 0).tolist() == pytest.approx([4, 49])
    assert pca_reconstruction_error(train, test, 2).tolist() == pytest.approx([0, 0])


# --- calibration, tests, quadrature --------------------------------------------------------------------------------


def test_a_confidence_on_the_edge_of_a_bin_counts_below_it():
    p = torch.tensor([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]], dtype=F64)
    found = calibration(p.log().clamp(min=-1e3), torch.tensor([0, 0, 0, 1]), bins=4)
    assert found.counts == [1, 2, 1]
    assert found.confidence == pytest.approx([0.5, 0.75, 1.0])
    assert found.accuracy == [1.0, 0.5, 1.0]
    assert found.error == pytest.approx((0.5 + 2 * 0.25 + 0) / 4)
    assert found.largest == pytest.approx(0.5)
    assert found.brier == pytest.approx((0.5 + 0.125 + 2 * 0.75**2 + 0) / 4)
    equal = calibration(p.log().clamp(min=-1e3), torch.tensor([0, 0, 0, 1]), bins=2, edges="mass")
    assert equal.counts == [2, 2]
    assert equal.confidence == pytest.approx([0.625, 0.875])


def test_the_stein_discrepancy_of_two_samples_by_hand():
    """x = 0 and 1, N(0, 1), b = 1: s = 0 and −1, q = 2, so u = 0 + (s − s')(x − x') q^-1.5 + q^-1.5 − 3 q^-2.5."""
    x = torch.tensor([[0.0], [1.0]], dtype=F64)
    found = stein_discrepancy(x, lambda x: -0.5 * (x**2).sum(1), bandwidth=1.0, replicates=0)
    assert found.squared == pytest.approx((1 * -1) * 2**-1.5 + 2**-1.5 - 3 * 2**-2.5)
    assert math.isnan(found.p_value)
    assert stein_discrepancy(2 * x, lambda x: -0.5 * (x**2).sum(1), replicates=0).bandwidth == 2.0


class Constant:
    """A classifier that gives every example one probability of the second set."""

    def __init__(self, p: float) -> None:
        self.p = p

    def fit(self, x, y):
        self.learned = len(x), float(y.mean())

    def predict_proba(self, x):
        return torch.tensor([[1 - self.p, self.p]], dtype=F64).expand(len(x), 2).numpy()


@pytest.mark.parametrize("p", [0.5, 0.4, 0.6])
def test_a_classifier_that_knows_nothing_is_right_half_the_time(p):
    classifier = Constant(p)
    found = classifier_two_sample_test(torch.zeros(9, 2), torch.ones(8, 2), classifier=classifier)
    assert classifier.learned == (8, 0.5)
    assert (found.accuracy, found.auroc, found.n) == (0.5, 0.5, 8)
    assert found.p_value == pytest.approx(sum(math.comb(8, k) for k in range(4, 9)) / 2**8)


def test_a_classifier_that_knows_nothing_guesses_the_second_set_at_even_places():
    """Held-out places 0, 1, 2 are of the first set and 3, 4, 5 of the second: places 1 and 4 are right."""
    found = classifier_two_sample_test(torch.zeros(5, 2), torch.ones(5, 2), classifier=Constant(0.5))
    assert (found.n, found.accuracy) == (6, pytest.approx(2 / 6))
    assert classifier_two_sample_test(torch.zeros(4, 2), torch.ones(4, 2), classifier=Constant(0.6)).n == 4


def test_the_bandwidth_is_the_median_distance_of_the_first_two_thousand(monkeypatch):
    monkeypatch.setattr(stein, "stein_kernel", lambda rows, s, bandwidth: torch.zeros(2, 2))
    x = torch.randn(2002, 1, generator=torch.Generator().manual_seed(1), dtype=F64)
    found = stein_discrepancy(x, lambda x: -0.5 * (x**2).sum(1), replicates=0).bandwidth
    medians = [float(torch.pdist(x[:n]).median()) for n in (1999, 2000, 2001)]
    assert found == medians[1]
    assert medians[0] != found != medians[2]


def test_a_grid_has_its_cells_where_it_says():
    grid = Grid(-1, 3, 4, 2)
    assert grid.axis.tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert grid.points[1].tolist() == [-0.5, 0.5]
    assert grid.log_cell == 0.0
    assert Grid(0, 1, 10, 2).log_cell == pytest.approx(math.log(0.01))
    flat = lambda x: torch.full((len(x),), 5.0, dtype=F64)  # noqa: E731
    assert float(Grid(0, 2, 10, 2).log_integral(flat)) == pytest.approx(5 + math.log(4))
    assert Grid(0, 2, 10, 1).mass(flat, lambda x: x[:, 0] < 0.4) == pytest.approx(0.2)


def test_an_unordered_model_draws_tokens_as_often_as_they_were_seen():
    """Tokens 3, 4 and END, twice as many 3 as 4, without context: a sequence ends with probability 1/4 a token."""
    from absynth.data.vocabulary import END, PAD

    rows = torch.tensor([[3, 4, 3, END], [3, 3, 4, END]])
    x = NGram(rows, 0).sample(6000, stream(0))
    first = x[:, 0]
    assert [(first == token).double().mean().item() for token in (3, 4, END)] == pytest.approx(
        [0.5, 0.25, 0.25], abs=0.03
    )
    ended = (x == END).any(1)
    assert ended.double().mean().item() == pytest.approx(1 - 0.75**4, abs=0.03)
    assert (x[first == END, 1:] == PAD).all()
    hot = NGram(rows, 0, temperature=2.0).sample(6000, stream(0))[:, 0]  # √2 : 1 : 1
    assert (hot == 3).double().mean().item() == pytest.approx(2**0.5 / (2 + 2**0.5), abs=0.03)
