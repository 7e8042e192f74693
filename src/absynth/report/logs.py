"""Reads what a run logged: metrics.jsonl, journal.jsonl, recipe.json, results of tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from absynth.errors import InputError
from absynth.files import read_json
from absynth.report.result import TaskResult

Series = dict[str, tuple[list, list]]
"""Name -> (steps, values)."""


@dataclass(frozen=True)
class RunLog:
    """Everything that a page shows of a run.

    Args:
        run: Run directory.
        name: Name of the recipe.
        recipe: Contents of recipe.json.
        metrics: Lines of metrics.jsonl that the present state descends from.
        dropped: Number of lines that a roll-back withdrew.
        cut: Number of lines of metrics.jsonl that could not be read.
        journal: Entries of journal.jsonl.
        cut_journal: Number of entries that could not be read.
        meanings: What each loss says.
        results: Results of tasks, by folder.
        damaged: One line for each result that could not be read.
    """

    run: Path
    name: str
    recipe: dict[str, Any]
    metrics: list[dict]
    dropped: int
    cut: int
    journal: list[dict]
    cut_journal: int
    meanings: dict[str, str]
    results: list[tuple[Path, TaskResult]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def fields(self) -> dict[str, Any]:
        """The numbers of the recipe."""
        return self.recipe["fields"]

    @property
    def seconds(self) -> float | None:
        """Seconds of training, if they were logged."""
        found = [line["seconds"] for line in self.metrics[-1:] if isinstance(line.get("seconds"), int | float)]
        return found[0] if found else None

    @property
    def data(self) -> str:
        """What the run was trained on, in words."""
        known = self.recipe.get("data")
        if isinstance(known, dict):
            count = known.get("examples")
            return f"{known.get('name')}" + (f", {count} training examples" if count else "")
        return str(self.fields.get("data") or "not recorded")

    def result(self, task: str) -> tuple[Path, TaskResult] | None:
        """The folder and the result of a task, if it was run."""
        return next(((folder, result) for folder, result in self.results if result.task == task), None)


def read(run: Path) -> RunLog:
    """Read a run.

    Raises:
        InputError: There is no run at this path.
    """
    recipe = read_json(run / "recipe.json", "give the directory of a run")
    name, fields = recipe.get("recipe"), recipe.get("fields")
    if not isinstance(name, str) or not isinstance(fields, dict):
        raise InputError(f'{run / "recipe.json"} must hold "recipe" (text) and "fields" (object), got others: damaged')
    lines, cut = read_lines(run / "metrics.jsonl")
    metrics, dropped = current(lines)
    journal, cut_journal = read_lines(run / "journal.jsonl")
    results, damaged = [], []
    for path in sorted(run.glob("*/result.json")):
        try:
            results.append((path.parent, TaskResult.load(path.parent)))
        except InputError as error:
            damaged.append(str(error))
    return RunLog(
        run, name, recipe, metrics, dropped, cut, journal, cut_journal, _meanings(run, recipe), results, damaged
    )


def _meanings(run: Path, recipe: dict) -> dict[str, str]:
    """What each loss says, as training recorded it."""
    found = recipe.get("metrics")
    if found is None and (run / "config.json").exists():
        try:
            found = read_json(run / "config.json").get("metrics")
        except InputError:
            found = None
    return found if isinstance(found, dict) else {}


def read_lines(path: Path) -> tuple[list[dict], int]:
    """The JSON objects of a file of lines, and how many lines were no such thing.

    A process that is stopped while it writes leaves half a line, and the next may append to it: neither is an error.
    """
    lines, bad = [], 0
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            entry = json.loads(text) if text.strip() else None
        except ValueError:
            entry = False
        if isinstance(entry, dict):
            lines.append(entry)
        elif entry is not None:
            bad += 1
    return lines, bad


def current(metrics: Sequence[dict]) -> tuple[list[dict], int]:
    """The lines that the run's present state descends from: a roll-back to a step withdraws those from it on."""
    kept: list[dict] = []
    lines = [line for line in metrics if isinstance(line.get("step"), int)]
    for line in lines:
        while kept and kept[-1]["step"] >= line["step"]:
            kept.pop()
        kept.append(line)
    return kept, len(lines) - len(kept)


def series(metrics: Sequence[dict], key: str) -> Series:
    """One kind of measurement by name; parts of a measurement are named "name: part"."""
    found: Series = {}
    for line in metrics:
        values = line.get(key)
        for name, value in values.items() if isinstance(values, dict) else ():
            parts = {f"{name}: {k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
            for part, v in parts.items():
                xs, ys = found.setdefault(part, ([], []))
                xs.append(line["step"])
                ys.append(float(v) if isinstance(v, int | float) else float("nan"))
    return found
