"""Where training writes what happens: metrics.jsonl, journal.jsonl, a progress bar."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from absynth import distributed
from absynth.errors import InputError
from absynth.files import refused, write_atomic

if TYPE_CHECKING:
    from absynth.recipes.recipe import Recipe


@runtime_checkable
class Callback(Protocol):
    """An observer of training: a progress bar, a tracker (:mod:`absynth.trackers`)."""

    def begin(self, recipe: Recipe, step: int) -> None: ...
    def log(self, row: dict) -> None: ...
    def say(self, text: str) -> None: ...
    def end(self) -> None: ...


class MetricsFile:
    """metrics.jsonl: one line a log step. Lines after the step that a run resumes from are dropped first."""

    def __init__(self, run: Path, step: int) -> None:
        self.path = run / "metrics.jsonl"
        self.rewind(step)

    def rewind(self, step: int) -> None:
        """Drop the lines after ``step``: they will be written again."""
        if distributed.rank() == 0:
            _keep_lines(self.path, step)

    def log(self, row: dict) -> None:
        """Append a line."""
        if distributed.rank() == 0:
            _append(self.path, row)


class Journal:
    """journal.jsonl: starts, resumes and what the guard did, each a line that a person can read."""

    def __init__(self, run: Path, callbacks: Sequence[Callback]) -> None:
        self.path = run / "journal.jsonl"
        self.callbacks = callbacks
        if distributed.rank() == 0:
            _keep_lines(self.path, math.inf)

    def write(self, event: str, step: int, text: str, **numbers: int | float) -> None:
        """Append a line and, where it matters to somebody watching, say it."""
        if distributed.rank() != 0:
            return
        time = datetime.now(UTC).isoformat(timespec="seconds")
        row = {"event": event, "step": step, "time": time, "text": text, **numbers}
        _append(self.path, row)
        if event in ("resume", "guard", "damaged", "engine") or (event == "finish" and numbers.get("tries")):
            for callback in self.callbacks:
                callback.say(text if text.startswith(f"{event}: ") else f"{event}: {text}")


class ProgressBar:
    """The loss of each player and the time left; plain lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.steps = 0
        self.next_line = 0.0

    def begin(self, recipe: Recipe, step: int) -> None:
        self.steps = recipe.steps
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("[dim]{task.fields[losses]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self.bar.start()
            self.task = self.bar.add_task(recipe.name(), total=recipe.steps, completed=step, losses="")

    def log(self, row: dict) -> None:
        losses = "  ".join(f"{name} {value:.3g}" for name, value in row["loss"].items())
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=row["step"], losses=losses)
        elif row["step"] >= self.next_line * self.steps:
            done = row["step"] / self.steps
            left = row["seconds"] * (1 - done) / done
            self.console.print(f"step {row['step']}/{self.steps}  {losses}  about {left:.0f} s left", highlight=False)
            self.next_line = int(done * 10 + 1) / 10

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def _append(path: Path, row: dict) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise refused(path, error) from error


def _keep_lines(path: Path, step: int | float) -> None:
    """Keep the lines of a JSON-lines file up to ``step``, and none that a kill cut short."""
    if not path.exists():
        return
    if not path.is_file():
        raise InputError(f"expected a file of lines at {path}, got a folder, a pipe or a device: move it away")
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    write_atomic(path, "".join(f"{line}\n" for line in kept))
