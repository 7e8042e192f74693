"""Kernel Stein discrepancy, classifier two-sample test, coverage and calibration against exact values and laws."""

import math

import pytest
import torch

from absynth.errors import InputError
from absynth.metrics import patches
from absynth.metrics.calibration import calibration
from absynth.metrics.coverage import coverage
from absynth.metrics.stein import stein_discrepancy, stein_kernel
from absynth.metrics.two_sample import classifier_two_sample_test
from absynth.seeding import noise_like, stream

F64 = torch.float64


def normal(n, d, seed, shift=0.0):
    return shift + noise_like(torch.empty(n, d, dtype=F64), stream(seed))


def standard(x):
    return -0.5 * (x**2).sum(1)


# Kernel Stein discrepancy -------------------------------------------------------------------------------------------


def test_the_stein_kernel_is_that_of_its_definition():
    """(1) by automatic differentiation of the inverse multiquadric."""
    x, s, b = normal(4, 3, 0), normal(4, 3, 1), 1.3

    def k(a, c):
        return (b**2 + ((a - c) ** 2).sum()) ** -0.5

    expected = torch.empty(4, 4, dtype=F64)
    for i in range(4):
        for j in range(4):
            gx = torch.func.grad(k, 0)(x[i], x[j])
            gy = torch.func.grad(k, 1)(x[i], x[j])
            mixed = torch.func.jacrev(torch.func.grad(k, 0), 1)(x[i], x[j])
            expected[i, j] = s[i] @ s[j] * k(x[i], x[j]) + s[i] @ gy + s[j] @ gx + mixed.trace()
    assert torch.allclose(stein_kernel(x, s, b), expected, atol=1e-12)


def test_stein_accepts_the_right_law_and_rejects_others():
    p = [stein_discrepancy(normal(150, 2, seed), standard, replicates=200, seed=seed).p_value for seed in range(40)]
    assert sum(v < 0.05 for v in p) <= 8  # Binomial(40, .05): more has probability 2e-4
    assert stein_discrepancy(normal(300, 2, 1, shift=0.3), standard).p_value < 0.01
    assert stein_discrepancy(1.3 * normal(300, 2, 1), standard).p_value < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_the_p_value_counts_replicates_of_the_statistic(seed):
    """Weights 1/n over pairs i ≠ j are replaced by multinomial shares less 1/n, times n / (n − 1)."""
    n, replicates = 4, 50
    x = normal(n, 2, seed)
    u = stein_kernel(x, -x, 1.0).fill_diagonal_(0)
    squared, bigger = float(u.sum()) / (n * (n - 1)), 0
    for row in torch.randint(n, (replicates, n), generator=stream(seed)):
        w = (row.bincount(minlength=n).double() - 1) / n
        bigger += bool(w @ u @ w * n / (n - 1) >= squared)
    found = stein_discrepancy(x, standard, bandwidth=1.0, replicates=replicates, seed=seed)
    assert found.squared == pytest.approx(squared)
    assert found.p_value == pytest.approx((1 + bigger) / (1 + replicates))


def test_stein_needs_no_normalization():
    x = normal(50, 2, 3)
    a = stein_discrepancy(x, standard, replicates=0)
    b = stein_discrepancy(x, lambda v: standard(v) + 17.0, replicates=0)
    assert a.squared == pytest.approx(b.squared)
    assert math.isnan(a.p_value)


def test_stein_refuses():
    with pytest.raises(InputError, match="two samples"):
        stein_discrepancy(normal(1, 2, 0), standard)
    with pytest.raises(InputError, match="positive bandwidth"):
        stein_discrepancy(normal(5, 2, 0), standard, bandwidth=-1.0)


# Classifier two-sample test -----------------------------------------------------------------------------------------


class Sign:
    """Guesses the second set if the first entry is positive."""

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        p = (x[:, 0] > 0).astype(float)
        return torch.stack([1 - torch.tensor(p), torch.tensor(p)], 1).numpy()


def test_the_classifier_finds_a_shift_and_no_more():
    same = classifier_two_sample_test(normal(400, 2, 1), normal(400, 2, 2))
    assert same.p_value > 1e-3
    assert same.n == 400
    other = classifier_two_sample_test(normal(400, 2, 1), normal(400, 2, 2, shift=1.0))
    assert other.p_value < 1e-10
    assert other.auroc > 0.75


def test_the_accuracy_and_its_law_are_exact():
    a, b = -torch.ones(10, 1), torch.ones(14, 1)
    test = classifier_two_sample_test(a, b, classifier=Sign())
    assert (test.accuracy, test.auroc, test.n) == (1.0, 1.0, 10)
    assert test.p_value == pytest.approx(0.5**10)


def test_two_sample_refuses():
    with pytest.raises((InputError, TypeError)):  # a TypeError where types are checked
        classifier_two_sample_test(normal(8, 2, 0), normal(8, 3, 0))
    with pytest.raises(InputError, match="four examples"):
        classifier_two_sample_test(normal(8, 2, 0), normal(3, 2, 0))


# Coverage -----------------------------------------------------------------------------------------------------------


def test_coverage_of_equal_laws_has_its_exact_expectation():
    n, k = 200, 5
    expected = 1 - math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    found = [coverage(normal(n, 3, 2 * s), normal(n, 3, 2 * s + 1), k) for s in range(40)]
    assert sum(f.coverage for f in found) / 40 == pytest.approx(expected, abs=0.01)
    assert sum(f.density for f in found) / 40 == pytest.approx(1.0, abs=0.03)


def test_coverage_sees_what_is_missing_and_what_is_wrong():
    real = torch.cat([normal(200, 2, 1), normal(200, 2, 2, shift=20.0)])
    dropped = coverage(real, normal(400, 2, 3))
    assert dropped.precision > 0.9
    assert dropped.coverage < 0.55
    assert dropped.recall < 0.55
    invented = coverage(normal(400, 2, 1), torch.cat([normal(200, 2, 3), normal(200, 2, 4, shift=20.0)]))
    assert invented.precision < 0.55
    assert invented.density < 0.6


def test_coverage_refuses():
    with pytest.raises(InputError, match="k < the size"):
        coverage(normal(5, 2, 0), normal(9, 2, 0), k=5)
    with pytest.raises(InputError, match="got k=0"):
        coverage(normal(5, 2, 0), normal(9, 2, 0), k=0)
    assert coverage(normal(2, 2, 0), normal(2, 2, 0), k=1).coverage == 1


# Calibration --------------------------------------------------------------------------------------------------------


def test_calibration_by_hand():
    """Two confidences: .8, right 3 times of 4; .6, right once of 2."""
    p = torch.tensor([[0.8, 0.2]] * 4 + [[0.4, 0.6]] * 2, dtype=F64)
    y = torch.tensor([0, 0, 0, 1, 1, 0])
    found = calibration(p.log(), y, bins=10)
    assert found.error == pytest.approx((4 * 0.05 + 2 * 0.1) / 6)
    assert found.largest == pytest.approx(0.1)
    assert found.counts == [2, 4]
    assert found.brier == pytest.approx((3 * 0.08 + 1.28 + 0.32 + 0.72) / 6)


@pytest.mark.parametrize("edges", ["width", "mass"])
def test_a_calibrated_classifier_and_one_that_is_too_sure(edges):
    logits = 2 * normal(20_000, 3, 5)
    y = torch.multinomial(logits.softmax(1), 1, generator=stream(6))[:, 0]
    assert calibration(logits, y, edges=edges).error < 0.02
    assert calibration(3 * logits, y, edges=edges).error > 0.1


def test_calibration_refuses():
    with pytest.raises(InputError, match="bins"):
        calibration(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), bins=0)


# Patches ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [8, 7])
def test_random_phases_keep_the_power_spectrum_and_nothing_else(side):
    image = normal(2 * 6, side, 20).view(2, 6, side)
    found = patches.random_phases(image, stream(1))
    assert found.shape == image.shape
    torch.testing.assert_close(torch.fft.fft2(found).abs(), torch.fft.fft2(image).abs())
    assert not torch.allclose(found, image, atol=0.1)
    assert not torch.allclose(found, patches.random_phases(image, stream(2)), atol=0.1)


def test_the_distance_of_patches_is_a_mean_over_octaves_and_draws(monkeypatch):
    seen = []

    def side(x, image, *, patch, filters, rng):
        assert (patch, filters, image.shape) == (7, 32, (1, 1, x.shape[2] * 2, x.shape[3] * 2))
        seen.append(float(torch.rand((), generator=rng)))
        return torch.tensor([x.shape[2] - 1.0, x.shape[2] + 1.0])

    monkeypatch.setattr(patches, "patch_distance", side)
    x, image = normal(2 * 32, 40, 21).view(2, 1, 32, 40), normal(64, 80, 22).view(1, 64, 80)
    assert patches.patches_apart(x, image, seed=3, draws=5) == pytest.approx((32 + 16 + 8) / 3)
    assert len(set(seen)) == len(seen) == 15  # new filters in every draw


def test_the_distance_of_patches_sees_another_image():
    image = normal(32, 32, 23).view(1, 32, 32)
    assert patches.patches_apart(image[None], image, seed=0, draws=2) == pytest.approx(0, abs=1e-12)
    near, far = (patches.patches_apart(image[None] * k, image, seed=0, draws=2) for k in (1.1, 2.0))
    assert far == pytest.approx(10 * near)
