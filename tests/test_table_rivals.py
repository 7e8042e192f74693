"""What mixed tables are compared with: a copula of Gaussian rows is their Gaussian, and values keep their shares."""

from __future__ import annotations

import numpy as np

from absynth.experiments._table_rivals import Copula, classifier_energy_samples
from absynth.experiments.mixed_tables import decimals

COV = np.array([[1.0, 0.8], [0.8, 1.0]])


def gaussian(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal([0, 0], COV, n)


def exact(x: np.ndarray) -> float:
    quadratic = (x @ np.linalg.inv(COV) * x).sum(1)
    return float((-0.5 * quadratic - 0.5 * np.linalg.slogdet(COV)[1] - np.log(2 * np.pi)).mean())


def test_a_copula_of_gaussian_rows_is_their_gaussian():
    """Within .03 nats; independent columns, the copula without its correlations, are .51 nats off."""
    copula, test = Copula(gaussian(3000, 0), 0), gaussian(1000, 1)
    assert abs(float(copula.log_density(test).mean()) - exact(test)) < 0.03
    drawn = copula.sample(20_000, 2)
    assert np.abs(np.cov(drawn.T) - COV).max() < 0.12  # kernels widen the columns' variances by 5 %
    copula.cov = np.eye(2)
    assert float(copula.log_density(test).mean()) < exact(test) - 0.3


def mixed(n: int, seed: int) -> np.ndarray:
    """A number, and one of two values that tells its sign three times in four."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return np.stack([x, np.where(rng.random(n) < 0.75, x > 0, x < 0).astype(float)], 1)


def test_values_keep_their_shares_and_their_dependence():
    rows = mixed(2000, 0)
    drawn = Copula(rows, 0).sample(4000, 1)
    assert set(np.unique(drawn[:, 1])) == {0.0, 1.0}
    assert abs(drawn[:, 1].mean() - rows[:, 1].mean()) < 0.04
    agree = ((drawn[:, 0] > 0) == (drawn[:, 1] > 0.5)).mean()
    assert 0.65 < agree < 0.8


def test_unseen_values_have_a_density():
    rows = mixed(500, 0)
    assert np.isfinite(Copula(rows, 0).log_density(np.array([[0.0, 0.5], [40.0, 1.0]]))).all()


def test_energies_of_a_classifier_draw_rows_near_the_rows():
    rows = mixed(300, 0)
    drawn = classifier_energy_samples(rows, 200, 0, steps=20)
    assert drawn.shape == (200, 2)
    assert set(np.unique(drawn[:, 1])) <= {0.0, 1.0}
    assert np.abs(drawn[:, 0]).max() < 6


def test_decimals():
    assert [decimals(np.array(c)) for c in ([1.0, 2.0], [0.5, 1.25], [1 / 3, 1.0])] == [0, 2, 6]
