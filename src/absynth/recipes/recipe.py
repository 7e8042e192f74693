"""A recipe: one reproducible experiment as a frozen dataclass of flat, typed numbers.

The fields are the command line's flags and the docstring under each field is its help text. A recipe builds the
networks, the optimizers and the order of the data; ``fit`` does the rest.
"""

from __future__ import annotations

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from absynth import pictures
from absynth.algorithms import Algorithm
from absynth.report import Picture, ResultTable
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """What every recipe has."""

    data: str = ""
    """Folder or file of the data; empty: the ABSYNTH_DATA folder, then the cache."""
    seed: int = 0
    """Seed of the initial weights, the order of the data and all noise."""
    steps: int = 1000
    """Parameter updates."""
    batch: int = 100
    """Examples an update, over all slices."""
    shards: int = 1
    """Slices of a batch, each with its own noise; under torchrun a multiple of the number of processes."""
    ema: float = 0.0
    """Decay of the averaged weights that are saved for use; 0 saves the weights themselves."""
    threads: int = 0
    """CPU threads; 0: torch's choice. Small networks are fastest on 1, above all on a busy machine."""
    log_every: int = 10
    """Updates between lines of metrics.jsonl."""
    checkpoint_every: int = 500
    """Updates between checkpoints: what a kill can lose."""
    keep: int = 3
    """Checkpoints kept; the guard needs at least 2 to go back past a bad one."""
    guard_tries: int = 8
    """Times the guard rolls back before it stops with a diagnosis; 0 turns the guard off."""
    guard_step_size: float = 0.5
    """Factor on a sampler's step size when another random stream did not help; 1 forbids this remedy."""
    guard_learning_rate: float = 0.5
    """Factor on a player's learning rate when another random stream did not help; 1 forbids this remedy."""

    guard_gap: float = 10.0
    """A gap f(pos) − f(neg) below this is never trouble, in nats."""
    guard_stability: float = 2.5
    """Largest δ²λ of a chain that an EBM learns from: 2 doubles the sampled variance, 4 is unstable."""

    resumable: ClassVar[frozenset[str]] = frozenset({"data", "steps", "log_every", "checkpoint_every", "keep"})
    """Fields that may differ when a run goes on."""

    @classmethod
    def name(cls) -> str:
        """How the command line calls this recipe: its module in absynth.recipes, or ``module:Class`` elsewhere."""
        package, _, module = cls.__module__.rpartition(".")
        return module if package == "absynth.recipes" else f"{cls.__module__}:{cls.__qualname__}"

    def resolve(self) -> Recipe:
        """The recipe with everything that is found from the data filled in; what recipe.json records."""
        return self

    @abstractmethod
    def algorithm(self) -> Algorithm:
        """The networks and samplers, freshly initialized from torch's global generator, on the CPU."""

    @abstractmethod
    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        """One optimizer for each player that learns; a player without one stays as it is."""

    @abstractmethod
    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Batches from number ``start`` on, on the CPU; their order follows from (seed, epoch)."""

    @abstractmethod
    def tiny(self) -> Recipe:
        """The same experiment in seconds on a CPU: for tests and ``--tiny``."""

    def held_out(self, n: int) -> Tensor:
        """n examples ``[n, *event]`` that training does not see: of batches far beyond those trained on, or, where the
        data are finite, the first of the test split."""
        batches, found = self.batches(1_000_000), []
        while sum(map(len, found)) < n:
            found.append(next(batches).x)
        return torch.cat(found)[:n]

    def conditions(self, n: int) -> Tensor | None:
        """What to sample under where nothing is asked for, ``[n, ...]``, on the CPU: labels in turn (int64 ``[n]``),
        source pictures or histories that training does not see; None where the model has no condition."""
        return None

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """Examples as a person would look at them, for a task's result.

        Pictures as a sheet and anything else as a scatter of its first two coordinates; a recipe on text, molecules or
        tracks replaces this.

        Args:
            x: ``[n, *event]``.
            file: where a picture goes, with the suffix .png; its folder is the result's.
            columns: examples in a row of a sheet.
        """
        if x.ndim == 4:
            pictures.grid(x[:400], file, columns=columns)
        else:
            pictures.scatter2d(file, {"examples": x.flatten(1)[:, :2]}, title="first two coordinates")
        return [{"file": file.name, "caption": f"{min(len(x), 400) if x.ndim == 4 else len(x)} of {self.name()}"}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        """The same examples in several forms, one below the other: beside their reconstructions, along a path.

        Args:
            rows: title -> ``[n, *event]``, n the same for all.
            file: as in :meth:`show`.
        """
        if all(x.ndim == 4 for x in rows.values()):
            pictures.rows_with_labels(rows, file)
        else:
            points = {title: x.flatten(1)[:, :2] for title, x in rows.items()}
            pictures.scatter2d(file, points, title="first two coordinates")
        return [{"file": file.name, "caption": f"From the top: {', '.join(rows)}"}]

    def schedule(self, step: int) -> float:
        """Factor on every learning rate at a step."""
        return 1.0

    def module_file(self) -> str:
        """Where the recipe stands, for messages."""
        return getattr(sys.modules[type(self).__module__], "__file__", None) or type(self).__module__

    def fields(self) -> dict[str, object]:
        """Every number, by name."""
        return dataclasses.asdict(self)
