"""A run that is opened for a task: its model, its recipe, its data if they are at hand, and where the result goes.

Tasks call what a model can do (:mod:`absynth.algorithms.capabilities`) and ask for the kind of its data, not for a
class.
"""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from absynth import checkpoint, released
from absynth.algorithms import Algorithm, Chain
from absynth.data import sets
from absynth.data.dataset import Dataset, Split
from absynth.devices import choose_device
from absynth.errors import InputError, Unsupported
from absynth.files import read_json, refused
from absynth.recipes.recipe import Recipe
from absynth.report import TaskResult
from absynth.seeding import Streams

UNLIMITED = 1000
"""Number of examples of an unlimited data set that stand for all of them."""


@dataclass(frozen=True)
class Opened:
    """A trained run.

    Args:
        path: Run directory.
        model: The trained algorithm.
        recipe: Its recipe, on the empty stand-in of its data or on the data themselves.
        device: Where the model is.
        task: Name of the task that opened it.
        source: Where the data are now; "" is where training read them.
        out: Folder for the result; None is ``RUN/TASK``.
        recorded: Description of the data that the run was trained on; None skips the check.
    """

    path: Path
    model: Algorithm
    recipe: Recipe
    device: torch.device
    task: str = ""
    source: str = ""
    out: Path | None = None
    recorded: Mapping[str, Any] | None = None

    # Data ------------------------------------------------------------------------------------------------------------

    @property
    def data(self) -> Dataset:
        """The data set, or its empty stand-in: enough to show examples, of no use to read them."""
        return self.recipe.examples

    @property
    def name(self) -> str:
        """Name of the method and of its data, for messages."""
        return f"{self.recipe.name()} on {self.data.kind} data"

    @cached_property
    def dataset(self) -> Dataset:
        """The training split, opened.

        Raises:
            InputError: The data are not at hand, or they changed since the run began.
        """
        known = self.data
        if not self.source and (len(known) or not known.examples):  # already open, or unlimited
            return known
        source = self.source or self.recipe.data
        if not source:
            raise InputError(f"{self.path} was trained on data in memory: give --data with a file of the same examples")
        found = self._open(source, self._options(source))
        if self.recorded is not None and found.fingerprint != self.recorded["fingerprint"]:
            counts = f"{self.recorded['examples']} examples then, {found.examples} now"
            if self.recorded["examples"] == found.examples:
                counts = f"{found.examples} examples as then, with other values or names"
            where = f"the data at {source} are not those that {self.path} was trained on ({counts})"
            if self.source and self._takes_input():
                raise InputError(f"{where}: give other examples by --input, --data is for the run's own elsewhere")
            raise InputError(f"{where}: give --data to point to the original, or train a new run")
        return found

    def _open(self, source: str, options: Mapping[str, Any]) -> Dataset:
        """The data at a source; an InputError says what to give where they cannot be read."""
        try:
            return sets.open(source, kind=self.data.kind, **options)
        except InputError as error:
            hint = "" if self.source else ": give --data if they moved"
            hint += ", or --input with examples of yours" if hint and self._takes_input() else ""
            raise InputError(f"the data of {self.path} cannot be read ({error}){hint}") from error

    def _takes_input(self) -> bool:
        """Whether the task can be run on examples of yours."""
        from absynth import tasks

        return self.task in tasks.tasks() and "input" in inspect.signature(tasks.find(self.task).command).parameters

    def _options(self, source: str) -> dict[str, Any]:
        """Options of the reader, of data at another place if they moved."""
        return replace(self.recipe, data=source, kind=self.data.kind).reader_options()

    def unlimited(self) -> Dataset:
        """The training split without the limit and the held-out class of the run, for feature networks."""
        source = self.source or self.recipe.data
        known = self._options(source)
        options = {k: v for k, v in known.items() if k not in ("limit", "anomaly")}
        same = options == known
        return self.dataset if same or not source else self._open(source, options)

    def examples(self, split: Split) -> Dataset:
        """A split of the data.

        Raises:
            InputError: The data are not at hand, or they changed since the run began.
        """
        return self.dataset.split(split)

    @cached_property
    def full(self) -> Recipe:
        """The recipe on its opened data."""
        return replace(self.recipe, dataset=self.dataset)

    def require_kind(self, *kinds: str, hint: str = "") -> None:
        """Raise unless the run was trained on one of these kinds of data.

        Raises:
            Unsupported: It was trained on another kind.
        """
        if self.data.kind not in kinds:
            wanted = " or ".join(kinds)
            raise Unsupported(f"{self.task} needs {wanted} data, {self.path} is {self.name}{hint and ': ' + hint}")

    def inputs(self, path: str, n: int) -> tuple[Tensor, list[str]]:
        """Examples to run a task on: those in your file or folder, else of the test split.

        Args:
            path: A file or folder of the kind of the run's data; "" takes the test split.
            n: At most so many; 0 takes all of a file, or of the test split.

        Returns:
            Examples ``[n, *event]``, and their names.
        """
        if path:
            place = Path(path).expanduser()
            x = self.recipe.model_inputs(self.data.parse(place))
            names = self.data.parse_names(place, len(x))
            return (x[:n], names[:n]) if n else (x, names)
        test = self.examples("test")
        x = self.full.held_out(n or len(test) or UNLIMITED)
        return x, test.names(torch.arange(len(x)))

    def input_name(self, path: str) -> str:
        """What :meth:`inputs` are, for texts."""
        return Path(path).name if path else f"{self.data.name} that were not trained on"

    def conditions(self, n: int) -> Tensor | None:
        """Default conditions to sample under, ``[n, ...]``; None where the model has none."""
        try:
            found = self.recipe.conditions(n)
        except (
            InputError,
            RuntimeError,
            IndexError,
            ZeroDivisionError,
        ):  # the stand-in has no examples to take them from
            return self.full.conditions(n)
        return self.full.conditions(n) if found is not None and len(found) != n else found

    @cached_property
    def conditional(self) -> bool:
        """Whether the model needs a condition."""
        if not self.model.condition_required:
            return False
        try:
            return self.recipe.conditions(1) is not None
        except (InputError, RuntimeError, IndexError, ZeroDivisionError):
            return True

    # Model -----------------------------------------------------------------------------------------------------------

    def require_unconditional(self) -> None:
        """Raise if the model needs a condition.

        Raises:
            Unsupported: It does.
        """
        if self.conditional:
            raise Unsupported(
                f"{self.task or 'this'} needs a model without a condition, {self.path} is {self.name}: use sample"
            )

    def chain(self, steps: int = 0) -> Chain:
        """The chain that draws from the model.

        Args:
            steps: Its length; 0 is as in training.

        Raises:
            Unsupported: The model has none, or needs a condition.
        """
        self.require_unconditional()
        return self.model.chain().with_steps(steps)

    def data_chain(self, steps: int = 0) -> Chain:
        """:meth:`chain`, if its density is one of the data."""
        self.require_unconditional()
        return self.model.data_chain().with_steps(steps)

    # Result ----------------------------------------------------------------------------------------------------------

    @cached_property
    def folder(self) -> Path:
        """Where the images and numbers of the task go; created if missing."""
        path = self.path / self.task if self.out is None else self.out
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refused(path, error) from error
        return path

    def result(self, title: str, text: str, seed: int = 0) -> TaskResult:
        """A result of the task, with the command that was typed."""
        typed = sys.argv[1:2] == [self.task]
        words = sys.argv[1:] if typed else [self.task, str(self.path)]
        return TaskResult(task=self.task, title=title, command=shlex.join(["absynth", *words]), seed=seed, text=text)

    def save(self, result: TaskResult) -> TaskResult:
        """Save a result in the task's folder and return it."""
        result.save(self.folder)
        return result


def open_run(
    run: str | Path, device: str = "auto", *, task: str = "", data: str = "", out: str | Path | None = None
) -> Opened:
    """Load a run for a task.

    Args:
        run: Run directory, or the name of a pretrained model.
        device: ``auto``, ``cpu``, ``cuda`` ...
        task: Name of the task: the result's folder in the run.
        data: Where the data of the run are now. Defaults to where training read them.
        out: Folder for the result. Defaults to ``RUN/TASK``.

    Raises:
        InputError: There is no run, or its files are damaged.
    """
    where, path = choose_device(device), released.locate(run)
    model = checkpoint.load(path, device=where)
    recipe: Any = model.recipe
    recorded = read_json(path / "config.json").get("data")
    place = None if out is None else Path(out).expanduser()
    return Opened(path, model, recipe, where, task, data, place, recorded)


def check_positive(**numbers: int) -> None:
    """Raise an InputError unless every number is at least 1; names are those of the flags."""
    for name, value in numbers.items():
        if value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")


def row_streams(seed: int, rows: range, draw: int = 0, *, device: torch.device | str) -> Streams:
    """A stream for the ``draw``-th sample of each row: it follows from (seed, row, draw), whatever else is drawn."""
    return Streams(seed, [(draw << 32) + row for row in rows], device=device)


def in_chunks(x: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    """``(offset, rows)`` of at most ``size`` rows."""
    for start in range(0, len(x), size):
        yield start, x[start : start + size]
