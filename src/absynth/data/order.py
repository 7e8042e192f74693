"""The order in which examples are seen: it follows from (seed, epoch), so a resumed run sees what it would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from absynth.errors import InputError
from absynth.seeding import stream

_HELD = int.from_bytes(b"held", "big")  # which examples are set aside has a stream of its own
_ORDER = int.from_bytes(b"order", "big")  # keeps shuffling apart from a step's noise, which shares seed and integers


class TooFewExamples(InputError):
    """A batch holds more examples than there are.

    Args:
        n: Number of examples.
        batch: Examples in a batch.
    """

    def __init__(self, n: int, batch: int) -> None:
        self.n, self.batch = n, batch
        super().__init__(f"expected at least one batch of {batch} examples, got {n}: give --batch {n} or less")


def minibatches(n: int, batch: int, *, seed: int, start: int = 0) -> Iterator[Tensor]:
    """Endless minibatches of indices: every epoch is a fresh permutation, and its incomplete last batch is dropped.

    Args:
        n: number of examples.
        batch: indices in a minibatch.
        seed: the run's seed; the permutation of an epoch follows from (seed, epoch) alone.
        start: minibatches to skip, at the price of one permutation however many they are.

    Returns:
        An endless iterator of int64 tensors ``[batch]`` on the CPU.

    Raises:
        TooFewExamples: at the call, if there are fewer examples than a batch holds.
        InputError: at the call, if a number is out of range.

    >>> batches = minibatches(6, 2, seed=0)
    >>> epoch = torch.cat([next(batches), next(batches), next(batches)])
    >>> sorted(epoch.tolist())
    [0, 1, 2, 3, 4, 5]
    >>> torch.equal(next(minibatches(6, 2, seed=0, start=2)), epoch[4:])
    True
    """
    if batch < 1 or start < 0:
        raise InputError(f"expected batch at least 1 and start at least 0, got batch {batch} and start {start}")
    if n < batch:
        raise TooFewExamples(n, batch)
    return _minibatches(n, batch, seed, start)


def _minibatches(n: int, batch: int, seed: int, start: int) -> Iterator[Tensor]:
    epoch, skip = divmod(start, n // batch)
    while True:
        order = torch.randperm(n, generator=stream(seed, 0, epoch, _ORDER))
        yield from order[: n // batch * batch].view(-1, batch)[skip:].unbind(0)
        epoch, skip = epoch + 1, 0


def set_aside(n: int, share: float) -> tuple[Tensor, Tensor]:
    """Rows to train on and rows to validate on, the same at every call; both in ascending order.

    Args:
        n: Number of training examples.
        share: Share that is set aside.

    Returns:
        ``(kept, held)``, int64.

    Raises:
        InputError: The share is not between 0 and 1, or leaves one of the two empty.

    >>> len(set_aside(10, 0.2)[1])
    2
    """
    if not 0 < share < 1:
        raise InputError(f"expected --validation between 0 and 1, got {share}")
    held = round(n * share)
    if not 0 < held < n:
        raise InputError(f"--validation {share} of {n} training examples is {held}: give another share, or more data")
    order = torch.randperm(n, generator=stream(0, 0, n, _HELD))
    return order[held:].sort().values, order[:held].sort().values


def validated(read: Callable[[Any], Any], share: float, take: Callable[[Any, Tensor], Any]) -> Callable[[Any], Any]:
    """A reader whose validation split is a share of its training split; with share 0, its own if it has one.

    Args:
        read: ``split -> examples``.
        share: Share of the training split that is set aside.
        take: ``(examples, rows) -> examples``.
    """
    if not share:
        return read

    def split(part: str) -> Any:
        found = read("test" if part == "test" else "train")
        if part == "test":
            return found
        kept, held = set_aside(len(found), share)
        return take(found, kept if part == "train" else held)

    return split
