"""Randomness that follows from (seed, rank, step), so that nothing random needs to be saved.

Only the command line and :func:`absynth.training.fit` make generators; every other function that draws takes ``rng``.
Because the generator of a step follows from three integers, a resumed run equals an uninterrupted one bit for bit,
and processes of one job draw different noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from absynth.errors import InputError

DROPOUT = int.from_bytes(b"dropout", "big")  # tells a network's own randomness from the noise of chains
ROWS = 2  # tells the rows of a sample from the steps of a run: SeedSequence takes trailing zeros for nothing at all


def stream(seed: int, rank: int = 0, step: int = 0, *purpose: int, device: torch.device | str = "cpu") -> Generator:
    """The generator of one step of one process.

    Args:
        seed: the run's seed.
        rank: process, or slice of the batch.
        step: training step, or block of samples.
        purpose: further integers that tell apart uses within a step (the guard's retries, for one).
        device: where the noise will be drawn.

    Raises:
        InputError: a number is negative or no whole number.

    >>> a, b = stream(1, 0, 7), stream(1, 0, 7)
    >>> torch.equal(torch.randn(3, generator=a), torch.randn(3, generator=b))
    True
    """
    if not all(isinstance(number, Integral) for number in (seed, rank, step, *purpose)):
        raise InputError(f"expected whole numbers for a seed, a rank and a step, got {seed!r}, {rank!r} and {step!r}")
    if min(seed, rank, step, *purpose) < 0:
        raise InputError(f"expected a seed, a rank and a step of at least 0, got {seed}, {rank} and {step}")
    words = np.random.SeedSequence([seed, rank, step, *purpose]).generate_state(1, np.uint64)
    rng = Generator(device=device)
    rng.manual_seed(int(words[0] >> np.uint64(1)))
    return rng


@contextmanager
def dropout_from(rng: torch.Generator) -> Iterator[None]:
    """The global generator, the only one that dropout can draw from, follows from a step's own; then it is put back."""
    own = torch.cuda.default_generators[rng.device.index or 0] if rng.device.type == "cuda" else torch.default_generator
    before = own.get_state()
    own.manual_seed(rng.initial_seed() ^ DROPOUT)
    try:
        yield
    finally:
        own.set_state(before)


class Streams:
    """One generator a row, so that row i of a sample does not depend on how many rows are drawn at once.

    It stands where a ``torch.Generator`` stands; draws cost one small kernel a row, which is nothing beside a chain.

    >>> few, many = Streams(0, range(2)), Streams(0, range(5))
    >>> torch.equal(noise_like(torch.empty(2, 3), few), noise_like(torch.empty(5, 3), many)[:2])
    True
    """

    def __init__(self, seed: int, rows: Sequence[int] | range, *, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.device = torch.device(device)
        self.generators = [stream(seed, 0, row, 0, ROWS, device=device) for row in rows]

    def __len__(self) -> int:
        return len(self.generators)

    def __iter__(self) -> Iterator[Generator]:
        return iter(self.generators)


def empty_rows(n: int, *shape: int, like: Tensor) -> Tensor:
    """An uninitialized tensor ``[n, *shape]`` of the type and device of ``like``, for n draws.

    Raises:
        InputError: n is negative or no whole number.
    """
    if not isinstance(n, Integral):
        raise InputError(f"expected a whole number of samples, got {n!r}")
    if n < 0:
        raise InputError(f"expected a number of samples of at least 0, got {n}")
    return torch.empty(n, *shape, dtype=like.dtype, device=like.device)


def noise_like(x: Tensor, rng: Generator | Streams) -> Tensor:
    """Standard normal noise of the shape, type and device of ``x``."""
    return _fill(torch.empty_like(x, requires_grad=False), rng, Tensor.normal_)


def uniform_like(x: Tensor, rng: Generator | Streams) -> Tensor:
    """Uniform noise on [0, 1) of the shape, type and device of ``x``."""
    return _fill(torch.empty_like(x, requires_grad=False), rng, Tensor.uniform_)


def _fill(out: Tensor, rng: Any, draw) -> Tensor:
    if isinstance(rng, Generator):
        return draw(out, generator=rng)
    if not isinstance(rng, Streams):
        raise InputError(f"rng must be a torch.Generator or Streams, got {rng!r}: give absynth.stream(seed=0)")
    if len(rng) != len(out):
        raise InputError(f"rng must have one stream a row, expected {len(out)}, got {len(rng)}")
    # A row of a channels-last tensor has its own memory order, so each row is drawn contiguously and copied in.
    for row, generator in zip(out.unbind(0), rng):
        row.copy_(draw(torch.empty(row.shape, dtype=out.dtype, device=out.device), generator=generator))
    return out
