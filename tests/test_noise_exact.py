"""Noise of diffusions and perturbations of data, by hand."""

from __future__ import annotations

import pytest
import torch

from absynth.algorithms.noise_levels import NoiseLevels, rows
from absynth.algorithms.perturbations import Flips, GaussianNoise, Jumps, MixedColumns
from absynth.errors import InputError
from absynth.seeding import noise_like, stream, uniform_like

F64 = torch.float64
NOISE = (0.6, 0.8, 0.96)
"""Signals 0.8, 0.6 and 0.28."""


class Table(NoiseLevels):
    """The table alone, without a method that learns."""

    def losses(self, batch, *, rng):
        raise NotImplementedError

    def sample(self, n, c=None, *, rng):
        raise NotImplementedError


def levels(schedule="level") -> Table:
    return Table(NOISE, schedule).double()


def approx(*numbers: float):
    return pytest.approx(numbers, rel=1e-5)  # buffers are made in the default type


def test_the_table_of_noise_levels():
    """a = ᾱ_{t+1} / ᾱ_t and σ² = 1 − a²."""
    table = levels()
    a = [0.6 / 0.8, 0.28 / 0.6]
    sigma = [(1 - v**2) ** 0.5 for v in a]
    assert table.levels == 3
    assert table.signal.tolist() == approx(0.8, 0.6, 0.28)
    assert table.noise.tolist() == approx(*NOISE)
    assert table.shrink.tolist() == approx(*a, 1.0)
    assert table.width.tolist() == approx(*sigma, 1.0)
    assert table.precision.tolist() == approx(*(s**-2 for s in sigma), 0.0)


def test_units_of_the_step_size():
    a, sigma = [0.75, 0.28 / 0.6], [(1 - 0.75**2) ** 0.5, (1 - (0.28 / 0.6) ** 2) ** 0.5]
    assert levels("level").unit.tolist() == approx(*sigma, 1.0)
    growing = [s * (noise / 0.6) ** 0.5 for s, noise in zip((*sigma, 1.0), NOISE)]
    assert levels("growing").unit.tolist() == approx(*growing)
    # w_t is the width of the product of N(y; σ²) and of the noise a s̄ of y itself
    narrow = [(1 / s**2 + 1 / (v * noise) ** 2) ** -0.5 for s, v, noise in zip(sigma, a, NOISE)]
    assert levels("narrow").unit.tolist() == approx(*narrow, 0.96)


@pytest.mark.parametrize("noise", [(), (0.0, 0.5), (0.5, 0.5), (0.6, 0.5), (0.5, 1.0)], ids=str)
def test_noise_that_does_not_rise_is_refused(noise):
    with pytest.raises(InputError, match="noise must rise from above 0 to below 1"):
        Table(noise, "level")


def test_data_diffuse_by_the_table_and_the_last_level_forgets_them():
    table, x, rng = levels(), torch.full((3, 2, 2), 10.0, dtype=F64), stream(1)
    y, following = table.diffuse(x, torch.tensor([0, 1, 2]), rng=stream(1))
    first, second = noise_like(x, rng), noise_like(x, rng)
    each = lambda name: rows(getattr(table, name), x)  # noqa: E731
    expected = each("shrink") * (each("signal") * x + each("noise") * first)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(following[:2], (expected + each("width") * second)[:2])
    torch.testing.assert_close(following[2], second[2])


def test_an_observation_of_some_entries_diffuses_with_the_same_noise():
    """The first column is seen: what is seen of y_t is a ᾱ x + a s̄ ε_t there, along one path of ε."""
    table, seen = levels(), torch.tensor([[1.0, 0.0]], dtype=F64)
    x = torch.tensor([[2.0, 7.0]], dtype=F64).repeat(4, 1)
    project = lambda y: torch.where(seen.bool(), x, y)  # noqa: E731
    noise, rng = noise_like(x, stream(1)), stream(1)
    noise_like(x, rng)
    for t, projection in enumerate(table.diffuse_observation(project, x, stream(1))):
        y = torch.full_like(x, -3.0)
        a = table.shrink[t]
        expected = a * (table.signal[t] * x + table.noise[t] * noise)
        found = projection(y)
        torch.testing.assert_close(found[:, 0], expected[:, 0])
        torch.testing.assert_close(found[:, 1], y[:, 1])
        if t < 2:
            noise = (a * table.noise[t] * noise + table.width[t] * noise_like(x, rng)) / table.noise[t + 1]


# --- perturbations -------------------------------------------------------------------------------------------------


def test_noise_has_the_given_variance_and_flips_the_given_probability():
    x = torch.full((5, 3), 2.0, dtype=F64)
    torch.testing.assert_close(GaussianNoise(9.0)(x, rng=stream(1)), x + 3 * noise_like(x, stream(1)))
    binary = torch.tensor([[0.0, 1.0]], dtype=F64).repeat(4000, 1)
    flipped = Flips(0.2)(binary, rng=stream(1))
    expected = torch.where(uniform_like(binary, stream(1)) < 0.2, 1 - binary, binary)
    assert torch.equal(flipped, expected)
    assert (flipped != binary).double().mean(0).tolist() == pytest.approx([0.2, 0.2], abs=0.03)


def test_a_category_jumps_to_every_value_alike():
    """Variables of 2 and 3 values: a jump of probability 0.6 leaves the value with 0.4 + 0.6 / k."""
    x = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0]], dtype=F64).repeat(20_000, 1)
    y = Jumps((2, 3), 0.6)(x, rng=stream(1))
    assert (y[:, :2].sum(1) == 1).all()
    assert (y[:, 2:].sum(1) == 1).all()
    assert y.mean(0).tolist() == pytest.approx([0.7, 0.3, 0.2, 0.2, 0.6], abs=0.02)
    both = ((y[:, 0] == 0) & (y[:, 4] == 0)).double().mean()
    assert both.item() == pytest.approx(0.3 * 0.4, abs=0.015)  # variables jump on their own
    always = Jumps((2, 3), 1.0)(x, rng=stream(2))
    assert always.mean(0).tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3], abs=0.02)


def test_a_row_has_noise_on_its_numbers_and_jumps_on_its_categories():
    x = torch.cat([torch.full((50, 2), 3.0, dtype=F64), torch.eye(2, dtype=F64)[[0] * 50]], 1)
    rng = stream(1)
    expected = torch.cat([GaussianNoise(0.25)(x[:, :2], rng=rng), Jumps((2,), 0.5)(x[:, 2:], rng=rng)], 1)
    assert torch.equal(MixedColumns(2, (2,), 0.25, 0.5)(x, rng=stream(1)), expected)
    numbers = MixedColumns(4, (), 0.25, 0.5)(x, rng=stream(1))
    assert torch.equal(numbers, GaussianNoise(0.25)(x, rng=stream(1)))
    assert torch.equal(
        MixedColumns(0, (2,), 0.25, 0.5)(x[:, 2:], rng=stream(1)), Jumps((2,), 0.5)(x[:, 2:], rng=stream(1))
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(0.0), "positive variance"),
        (lambda: Flips(0.0), r"probability in \(0, 1\]"),
        (lambda: Flips(1.1), r"probability in \(0, 1\]"),
        (lambda: Jumps((2, 0), 0.5), "number of values of each variable"),
        (lambda: Jumps((), 0.5), "number of values of each variable"),
        (lambda: Jumps((2,), 0.5)(torch.zeros(1, 3), rng=stream(1)), r"expected 2 columns for sizes \[2\], got 3"),
    ],
)
def test_perturbations_that_are_none_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
    assert Flips(1.0)(torch.ones(2, 2), rng=stream(1)).sum() == 0
    assert Jumps((1,), 1.0)(torch.ones(2, 1), rng=stream(1)).sum() == 2
