"""Arguments without sense or at their edge: no samples, fewer than none, those of another type."""

from __future__ import annotations

import inspect

import pytest
import torch
from cases import CASES

import absynth as ab
from absynth import recipes
from absynth.devices import choose_device
from absynth.errors import InputError
from absynth.samplers import HMC, MALA, NUTS
from absynth.seeding import empty_rows, stream


@pytest.mark.parametrize("name", sorted(set(CASES) - {"TrimmedEnsemble"}))  # which draws none
def test_no_samples_are_an_empty_tensor_and_fewer_are_refused(name):
    case = CASES[name]
    algorithm = case.build().eval()
    c = case.batch(4).c
    four, none = (algorithm.sample(n, None if c is None else c[:n], rng=stream(1)) for n in (4, 0))
    assert none.shape == (0, *four.shape[1:])
    assert none.dtype == four.dtype
    if c is None:
        with pytest.raises(InputError, match="at least 0, got -1"):
            algorithm.sample(-1, rng=stream(1))


@pytest.mark.parametrize("sampler", [MALA(3, 0.1), HMC(3, 0.1), NUTS(3, 0.1)], ids=repr)
@pytest.mark.parametrize("value", [-torch.inf, torch.nan])
def test_chains_that_start_outside_of_the_support_are_refused(sampler, value):
    """They would never move, and nothing would say so."""

    def half(x):
        return torch.where(x[:, 0] > 0, -(x**2).sum(1), value)

    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-2.0, 0.0]], dtype=torch.float64)
    with pytest.raises(InputError, match=f"got {value:g} at 2 of 3: start inside"):
        sampler(half, x, rng=stream(0))
    assert sampler(half, x.abs(), rng=stream(0)).shape == (3, 2)


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (ab.fit, ("maximum_likelihood", "run"), "expected a recipe, got 'maximum_likelihood'"),
        (recipes.classes, (None,), "expected the name of a method, got None"),
        (ab.load, (None,), "expected a run directory, got None"),
        (ab.stream, ("a",), "expected whole numbers for a seed"),
        (empty_rows, (1.5, 2), "a whole number of samples, got 1.5"),
        (choose_device, ("foo",), "a device such as cpu"),
    ],
)
def test_an_argument_of_another_type_is_refused_in_one_line(function, arguments, said):
    plain = inspect.unwrap(function)  # as users have it: the tests check types besides
    with pytest.raises(InputError, match=said):
        plain(*arguments, **({"like": torch.zeros(1)} if function is empty_rows else {}))
