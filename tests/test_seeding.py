"""Randomness follows from integers, and rows of a sample do not know of each other."""

from __future__ import annotations

import inspect
from itertools import combinations

import pytest
import torch
from laws import normal_law, same_law
from scipy import stats

from absynth.errors import InputError
from absynth.seeding import Streams, dropout_from, empty_rows, noise_like, stream, uniform_like

F64 = torch.float64


def first(*key: int) -> float:
    return float(torch.rand((), generator=stream(*key), dtype=F64))


def test_the_same_integers_give_the_same_stream():
    assert first(7, 2, 30) == first(7, 2, 30)
    assert first(7) == first(7, 0, 0)
    assert first(7, 0, 0, 5) == first(7, 0, 0, 5)


def test_any_other_integer_gives_another_stream():
    keys = [
        (s, r, t, *p) for s in range(4) for r in range(4) for t in range(8) for p in [(), (1,), (2,), (10,), (1, 1)]
    ]
    assert len({first(*key) for key in keys}) == len(keys)


def test_streams_of_neighbouring_steps_are_independent():
    """One draw from each of many steps is as good as many draws from one."""
    x = torch.stack([torch.randn((), generator=stream(1, 0, step), dtype=F64) for step in range(20_000)])
    normal_law(x, 0.0, 1.0)
    normal_law((x[1:] + x[:-1])[::2] / 2**0.5, 0.0, 1.0)  # a correlation would change the variance of sums of pairs


@pytest.mark.parametrize("rng", [stream(3), Streams(3, range(1000))], ids=["one stream", "a stream a row"])
def test_laws_of_the_noise(rng):
    like = torch.empty(1000, 50, dtype=F64)
    normal_law(noise_like(like, rng).flatten(), 0.0, 1.0)
    uniform = uniform_like(like, rng)
    same_law(uniform.flatten(), stats.uniform.cdf)
    assert uniform.min() >= 0
    assert uniform.max() < 1


def test_noise_takes_shape_and_type_from_its_model_and_nothing_else():
    like = torch.full((3, 4), 7.0, dtype=torch.float32, requires_grad=True)
    noise = noise_like(like, stream(0))
    assert noise.dtype == torch.float32
    assert noise.shape == like.shape
    assert not noise.requires_grad
    assert torch.equal(like, torch.full((3, 4), 7.0))
    global_state = torch.get_rng_state()
    uniform_like(like, Streams(0, range(3)))
    assert torch.equal(global_state, torch.get_rng_state())


@pytest.mark.parametrize("draw", [noise_like, uniform_like])
@pytest.mark.parametrize("shape", [(), (3,), (40,), (2, 5, 4)], ids=str)
def test_row_i_does_not_depend_on_how_many_rows_there_are(draw, shape):
    many = draw(torch.empty(64, *shape, dtype=F64), Streams(5, range(64)))
    for rows in (range(1), range(7), range(50, 57)):
        assert torch.equal(draw(torch.empty(len(rows), *shape, dtype=F64), Streams(5, rows)), many[list(rows)])
    assert all(not torch.equal(a, b) for a, b in combinations(many[:8], 2))


def test_rows_go_on_from_draw_to_draw():
    few, many = Streams(5, range(2)), Streams(5, range(6))
    for _ in range(3):
        a, b = noise_like(torch.empty(2, 3), few), noise_like(torch.empty(6, 3), many)
        assert torch.equal(a, b[:2])
    assert not torch.equal(b, noise_like(torch.empty(6, 3), many))


def test_rows_do_not_depend_on_memory_order():
    like = torch.empty(4, 3, 5, 5, dtype=F64)
    plain = noise_like(like, Streams(1, range(4)))
    assert torch.equal(plain, noise_like(like.contiguous(memory_format=torch.channels_last), Streams(1, range(4))))


def test_sampling_does_not_repeat_the_noise_of_training():
    """Row i of a sample with a run's seed must not be the noise of that run's step i."""
    rows = noise_like(torch.empty(5, 8, dtype=F64), Streams(3, range(5)))
    for step in range(5):
        for purpose in [(), (0,)]:
            assert not torch.equal(rows[step], noise_like(torch.empty(8, dtype=F64), stream(3, 0, step, *purpose)))


def test_numbers_below_zero_are_refused():
    with pytest.raises(InputError, match="seed, a rank and a step of at least 0, got -1"):
        stream(-1)
    with pytest.raises(InputError, match="got -3"):
        empty_rows(-3, 2, like=torch.zeros(1))
    assert empty_rows(0, 2, like=torch.zeros(1, dtype=F64)).shape == (0, 2)


def test_one_stream_a_row_is_demanded():
    with pytest.raises(ValueError, match="expected 3, got 2"):
        noise_like(torch.empty(3, 1), Streams(0, range(2)))
    assert len(Streams(0, range(2))) == 2


def test_dropout_follows_from_the_step_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    dropout, x = torch.nn.Dropout(0.5), torch.ones(200)
    masks = []
    for seed in (1, 1, 2):
        rng = stream(seed)
        with dropout_from(rng):
            masks.append(dropout(x))
        assert torch.equal(torch.randn(3, generator=rng), torch.randn(3, generator=stream(seed)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("rng", [0, None])
def test_a_seed_in_place_of_a_generator_is_refused_in_words(rng):
    with pytest.raises(InputError, match=rf"rng must be a torch\.Generator or Streams, got {rng}: give absynth"):
        inspect.unwrap(noise_like)(torch.zeros(2), rng)
