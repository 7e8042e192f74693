"""What a task found, as kept in ``RUN/TASK/result.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from absynth.errors import InputError
from absynth.files import read_json, write_json


class Picture(TypedDict):
    """An image in the result's own folder. The caption stands below it and is its alternative text."""

    file: str
    caption: str


class ResultTable(TypedDict):
    """A table of a result; cells are text or numbers."""

    caption: str
    columns: list[str]
    rows: list[list[Any]]


@dataclass
class TaskResult:
    """What a task found, as kept in ``result.json`` of its folder.

    >>> TaskResult(task="sample", title="Samples", command="absynth sample runs/a", seed=1, text="").figures
    {}
    """

    task: str
    """Name of the task, for instance ``detect``."""
    title: str
    command: str
    """The command that repeats it."""
    seed: int
    text: str
    """What was done, how to read it: plain text, blank lines between paragraphs."""
    pictures: list[Picture] = field(default_factory=list)
    figures: dict[str, float | int] = field(default_factory=dict)
    baselines: dict[str, dict[str, float | int]] = field(default_factory=dict)
    """Figure name -> method -> the same figure by that method."""
    tables: list[ResultTable] = field(default_factory=list)
    folder: Path = field(default=Path(), repr=False, compare=False)
    """Where the result was saved or read; not saved itself."""

    def add(self, shown: Sequence[Picture | ResultTable]) -> None:
        """Append pictures and tables, as a data set's ``show`` returns them."""
        for part in shown:
            if "file" in part:
                self.pictures.append(part)
            else:
                self.tables.append(part)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}

    def save(self, folder: Path) -> Path:
        """Write ``folder/result.json``, whole or not at all.

        Raises:
            InputError: A field does not have its form, or the folder cannot be written.
        """
        path = folder / "result.json"
        self.folder = folder
        contents = self.as_dict()
        _validate(contents, path)
        write_json(path, contents)
        return path

    @classmethod
    def load(cls, folder: Path) -> TaskResult:
        """Read ``folder/result.json``.

        Raises:
            InputError: It is missing or damaged.
        """
        path = folder / "result.json"
        contents = read_json(path, "run the task again")
        _validate(contents, path)
        return cls(**contents, folder=folder)


def _validate(contents: Mapping[str, Any], path: Path) -> None:
    def need(condition: object, expected: str, got: object) -> None:
        if not condition:
            got = " ".join(repr(got).split())[:80]
            raise InputError(f"{path} is damaged: {expected}, got {got}: run the task again")

    def rows_of(key: str, kinds: Mapping[str, type]) -> list:
        rows = contents[key]
        need(isinstance(rows, list), f"{key} must be a list", rows)
        for row in rows:
            good = isinstance(row, dict) and all(isinstance(row.get(k), kind) for k, kind in kinds.items())
            need(good and len(row) == len(kinds), f"{key} must hold {', '.join(kinds)}", row)
        return rows

    fields = set(TaskResult.__dataclass_fields__) - {"folder"}
    need(contents.keys() == fields, f"its keys must be {', '.join(sorted(fields))}", sorted(contents))
    for key in ("task", "title", "command", "text"):
        need(isinstance(contents[key], str), f"{key} must be text", contents[key])
    need(type(contents["seed"]) is int, "seed must be an integer", contents["seed"])
    for row in rows_of("pictures", {"file": str, "caption": str}):
        need(row["file"] == Path(row["file"]).name, "an image's file must be a name in the folder", row["file"])
    for row in rows_of("tables", {"caption": str, "columns": list, "rows": list}):
        good = all(isinstance(cells, list) and len(cells) == len(row["columns"]) for cells in row["rows"])
        good = good and all(c is None or isinstance(c, (str, int, float)) for cells in row["rows"] for c in cells)
        need(good, "a table's rows must have one text or number a column", row["rows"])
    figures, baselines = contents["figures"], contents["baselines"]
    need(isinstance(figures, dict) and all(map(is_number, figures.values())), "figures must be numbers", figures)
    need(isinstance(baselines, dict) and baselines.keys() <= figures.keys(), "baselines must be of figures", baselines)
    for methods in baselines.values():
        good = isinstance(methods, dict) and all(map(is_number, methods.values()))
        need(good, "baselines must be figure name -> method -> number", methods)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
