"""Distributions that are known exactly, as data sets of unlimited fresh samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from absynth import pictures
from absynth.data.dataset import Dataset, Split, check_part
from absynth.errors import InputError
from absynth.report import Picture, ResultTable
from absynth.seeding import stream
from absynth.types import Batch, Rng

_DATA = 10  # separates the samples that stand for data from a step's own noise
_HELD_OUT = {"train": 0, "validation": 1, "test": 2}
_MILLION = 1_000_000  # minibatches of the other splits lie beyond any training run


@runtime_checkable
class Law(Protocol):
    """A distribution with an exact sampler."""

    def sample(self, n: int, rng: Rng) -> Tensor: ...


class ToySet(Dataset):
    """Fresh samples of a known distribution.

    Minibatch k of seed s follows from (s, k). The other splits are minibatches that training does not reach.

    Args:
        law: The distribution, with ``sample(n, rng) -> [n, *shape]``.
        name: Name of the set, one of :data:`absynth.data.sets.SETS`.
        part: The split.
    """

    kind = "toy"
    unit = "samples"

    def __init__(self, law: Law, name: str, part: Split = "train") -> None:
        self.law, self.name, self.source, self.part = law, name, name, part
        self.shape = tuple(law.sample(1, stream(0)).shape[1:])

    def __len__(self) -> int:
        return 0

    def sample(self, n: int, rng: Rng) -> Tensor:
        """n exact draws ``[n, *shape]``."""
        return self.law.sample(n, rng)

    def batch(self, index: Tensor) -> Batch:
        offset = _HELD_OUT[self.part] * _MILLION
        rows = [self.law.sample(1, stream(0, 0, offset + int(i), _DATA)) for i in index.tolist()]
        return Batch(torch.cat(rows) if rows else torch.zeros(0, *self.shape))

    def batches(self, size: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        if size < 1 or start < 0:
            raise InputError(f"expected batch at least 1 and start at least 0, got batch {size} and start {start}")
        return self._batches(size, seed, start + _HELD_OUT[self.part] * _MILLION)

    def _batches(self, size: int, seed: int, step: int) -> Iterator[Batch]:
        while True:
            yield Batch(self.law.sample(size, stream(seed, 0, step, _DATA)))
            step += 1

    def head(self, n: int) -> Tensor:
        return next(self.batches(n, seed=0)).x

    def all(self) -> Tensor:
        return self.head(10_000)

    def split(self, part: Split) -> ToySet:
        check_part(part)
        return ToySet(self.law, self.name, part)

    def contents(self) -> Iterator[Tensor]:
        yield self.head(100)

    def details(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> ToySet:
        from absynth.data.sets import SETS

        found = SETS[description["name"]].open()
        assert isinstance(found, ToySet)
        return found

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        pictures.scatter2d(file, {"samples": x.flatten(1)[:, :2]}, title=self.name)
        return [{"file": file.name, "caption": f"{len(x)} samples, first two coordinates"}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        pictures.scatter2d(file, {title: x.flatten(1)[:, :2] for title, x in rows.items()}, title=self.name)
        return [{"file": file.name, "caption": ", ".join(rows)}]


class FiniteToySet(ToySet):
    """A fixed number of samples of a known law: the same training and test examples for every seed.

    Args:
        draw: ``split -> examples [n, d]``.
        name: Name of the set.
        part: The split.
    """

    def __init__(self, draw: Callable[[Split], Tensor], name: str, part: Split = "train") -> None:
        check_part(part)
        self._draw, self.name, self.source, self.part = draw, name, name, part
        self.x = draw(part)
        self.shape, self.examples = tuple(self.x.shape[1:]), len(self.x)

    def __len__(self) -> int:
        return len(self.x)

    def sample(self, n: int, rng: Rng) -> Tensor:
        return self.x[torch.randint(len(self.x), (n,), generator=rng if isinstance(rng, torch.Generator) else None)]

    def batch(self, index: Tensor) -> Batch:
        return Batch(self.x[index])

    def batches(self, size: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        return Dataset.batches(self, size, seed=seed, start=start)

    def head(self, n: int) -> Tensor:
        return self.x[:n]

    def all(self) -> Tensor:
        return self.x

    def split(self, part: Split) -> FiniteToySet:
        return FiniteToySet(self._draw, self.name, part)

    def contents(self) -> Iterator[Tensor]:
        yield self.x


def toy(law: Callable[[], Law], name: str) -> Callable[[], ToySet]:
    """A reader of a toy set, for :data:`absynth.data.sets.SETS`."""
    return lambda: ToySet(law(), name)
