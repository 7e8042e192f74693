"""Recorded figures: ``results/NAME.json`` says what was measured, on what, by which command and at which commit."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table

from absynth.errors import InputError
from absynth.files import write_json

DIGITS = 5
"""Significant digits kept of a recorded value."""

COLUMNS = ("name", "figure", "mean ± spread", "per seed", "baseline", "bar")


@dataclass(frozen=True)
class Result:
    """One record: figures, the baselines beside them, and all that is needed to measure them again."""

    name: str
    command: str
    commit: str
    data: str
    machine: dict[str, Any]
    protocol: str
    seeds: list[int]
    figures: dict[str, list[float | int]]
    """One value a seed."""
    baselines: dict[str, list[float | int]] = field(default_factory=dict)
    """By ``FIGURE`` or ``FIGURE/METHOD``; a published baseline may have a single value."""
    bars: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By figure: ``at_most`` or ``at_least``, which the mean over seeds must meet, and ``why``."""
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Resolved recipe of each run, by label: method, data, preset, values given, and every field."""

    def baselines_of(self, figure: str) -> dict[str, list[float | int]]:
        """The baselines of one figure, by method ("baseline" where the method has no name)."""
        found = {}
        for key, values in self.baselines.items():
            if _owner(key, self.figures) == figure:
                found[key[len(figure) + 1 :] or "baseline"] = values
        return found

    def met(self, figure: str) -> bool | None:
        """Whether the mean over seeds meets the figure's bar; None where no bar was set."""
        bar = self.bars.get(figure)
        if bar is None:
            return None
        mean = statistics.fmean(self.figures[figure])
        return mean <= bar["at_most"] if "at_most" in bar else mean >= bar["at_least"]


def record(
    path: Path,
    *,
    command: str,
    data: str,
    protocol: str,
    seeds: Sequence[int],
    figures: Mapping[str, Sequence[float | int]],
    baselines: Mapping[str, Sequence[float | int]],
    bars: Mapping[str, Mapping[str, Any]] | None = None,
    recipes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Result:
    """Write what was measured to ``path`` (``results/NAME.json``), with the commit and the machine.

    Args:
        path: the file; its stem is the record's name and must not hold a dot.
        command: what measures it again.
        data: which data, and which part of them.
        protocol: how it was measured, in a sentence or two.
        seeds: the seeds.
        figures: by name, one finite value a seed; kept to five significant digits.
        baselines: by ``FIGURE`` or ``FIGURE/METHOD``, one value or more.
        recipes: resolved recipe of each run, by label.
        bars: by figure, ``{"at_least": number, "why": text}`` or ``at_most``; the mean over seeds must meet it.

    Returns:
        The record as written.

    Raises:
        InputError: a value is missing or not finite, or a baseline or bar belongs to no figure.
    """
    contents = {
        "command": command,
        "commit": _commit(path.parent),
        "data": data,
        "machine": _machine(),
        "protocol": protocol,
        "seeds": list(seeds),
        "figures": {name: [_rounded(v) for v in values] for name, values in figures.items()},
        "baselines": {name: [_rounded(v) for v in values] for name, values in baselines.items()},
    }
    if bars:
        contents["bars"] = {name: dict(bar) for name, bar in bars.items()}
    if recipes:
        contents["recipes"] = json.loads(json.dumps({label: dict(recipe) for label, recipe in recipes.items()}))
    result = _validated(path, contents)
    write_json(path, contents)
    return result


def records_folder() -> Path:
    """Folder of the project's records: that of the installed package, else ``results/`` of the checkout."""
    package = Path(__file__).parent
    installed = package / "records"
    return installed if installed.is_dir() else package.parent.parent / "results"


def headline(records: Mapping[str, Result], name: str) -> str:
    """A recorded figure with its baselines; empty where there is no record.

    Args:
        records: Records by name.
        name: ``RECORD.FIGURE``; of a ``RECORD`` alone the first figure that has a bar, else the first.
    """
    record, _, figure = name.partition(".")
    found = records.get(record)
    if found is None:
        return ""
    figure = figure or next((f for f in found.figures if f in found.bars), next(iter(found.figures)))
    values = found.figures[figure]
    others = "; ".join(f"{k} {summary(v)}" for k, v in found.baselines_of(figure).items())
    return f"{figure} {summary(values)}" + (f" ({others})" if others else "")


def stale_records(folder: Path) -> list[str]:
    """Names of the records whose recipes no longer resolve to what was recorded.

    A record made before recipes were recorded holds none, and is not judged.
    """
    from absynth import recipes

    return [
        name
        for name, found in load_all(folder).items()
        if any(not recipes.resolves_to(entry) for entry in found.recipes.values())
    ]


def load(path: Path) -> Result:
    """One record. Raises InputError where the file is missing or damaged."""
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} must be a record in JSON, got {one_line(error)}: record it again") from error
    return _validated(path, contents)


def load_all(folder: Path) -> dict[str, Result]:
    """All records of a folder by name, in the order of their names."""
    if not folder.is_dir():
        raise InputError(f"results must be a folder of records, got {folder}: there is no such folder")
    return {path.stem: load(path) for path in sorted(folder.glob("*.json"))}


def table(results: Mapping[str, Result]) -> Table:
    """The records as a table for the terminal."""
    out = Table(*COLUMNS, title="Recorded figures (± standard deviation over seeds)", title_justify="left")
    for result in results.values():
        for row in rows(result):
            out.add_row(*(escape(cell) for cell in row), style="bold red" if result.met(row[1]) is False else None)
    return out


def number(value: float | int, decimals: int | None = None) -> str:
    """A number for people: four significant digits, or a fixed count of decimals; no exponent between 1e-4 and 1e7.

    >>> number(0.91234), number(70000), number(1234.56), number(2.5e-7), number(0.9, 3)
    ('0.9123', '70000', '1235', '2.5e-07', '0.900')
    """
    if not math.isfinite(value):
        return str(float(value))
    if decimals is None and value == int(value) and abs(value) < 1e7:
        return str(int(value))
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.4g}"
    if decimals is not None:
        return f"{value:.{decimals}f}"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _validated(path: Path, contents: Any) -> Result:
    def need(condition: object, expected: str, got: object) -> None:
        if not condition:
            raise InputError(f"{path}: {expected}, got {one_line(repr(got))[:80]}: correct it or record it again")

    def values(found: object, what: str, n: int | None = None) -> None:
        need(isinstance(found, list) and found, f"{what} must be a list of numbers", found)
        assert isinstance(found, list)
        good = all(type(v) in (int, float) and math.isfinite(v) for v in found)
        need(good, f"{what} must hold finite numbers", found)
        need(n is None or len(found) == n, f"{what} must hold one value a seed ({n})", found)

    need(isinstance(contents, dict), "a record must be a JSON object", contents)
    need("." not in path.stem and "," not in path.stem, "a record's name must not hold a dot or a comma", path.stem)
    for key in ("command", "commit", "data", "protocol"):
        need(isinstance(contents.get(key), str), f"{key} must be text", contents.get(key))
    for key in ("machine", "figures"):
        need(isinstance(contents.get(key), dict), f"{key} must be an object", contents.get(key))
    figures, seeds = contents["figures"], contents.get("seeds")
    values(seeds, "seeds")
    need(figures, "figures must hold at least one figure", figures)
    for name, found in figures.items():
        need(re.fullmatch(r"[^<>\n]+", name), "a figure's name must be one line without < and >", name)
        values(found, f"figure {name}", len(seeds))
    for name, found in contents.get("baselines", {}).items():
        need(_owner(name, figures) is not None, "a baseline must be named FIGURE or FIGURE/METHOD", name)
        values(found, f"baseline {name}")
    for name, bar in contents.get("bars", {}).items():
        need(name in figures, f"a bar must be on one of the figures {', '.join(figures)}", name)
        keys = sorted(bar) if isinstance(bar, dict) else bar
        need(
            keys in (["at_least", "why"], ["at_most", "why"]), f"bar {name} must hold at_least or at_most, and why", bar
        )
        values([bar[keys[0]]], f"bar {name}")
    known = {key for key in Result.__dataclass_fields__ if key != "name"}
    need(contents.keys() <= known, "a record must hold known keys only", sorted(contents.keys() - known))
    return Result(name=path.stem, **contents)


def _owner(baseline: str, figures: Mapping[str, object]) -> str | None:
    """The figure that a baseline's name belongs to: the longest that it equals or continues after a slash."""
    owners = [f for f in figures if baseline == f or baseline.startswith(f + "/")]
    return max(owners, key=len, default=None)


def summary(values: Sequence[float | int]) -> str:
    """Mean ± standard deviation over seeds, with two significant digits of the latter."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return number(mean)
    spread = statistics.stdev(values)
    if spread == 0 or not 1e-4 <= spread < 1e5:
        return f"{number(mean)} ± {number(spread)}"
    decimals = max(0, 1 - math.floor(math.log10(spread)))  # two significant digits of the spread decide both
    return f"{number(mean, decimals)} ± {number(spread, decimals)}"


def rows(result: Result) -> list[tuple[str, ...]]:
    """A record as the rows of a table with :data:`COLUMNS`."""
    found = []
    for name, values in result.figures.items():
        methods = result.baselines_of(name)
        beside = "; ".join(summary(v) if k == "baseline" else f"{k} {summary(v)}" for k, v in methods.items())
        bar, met = result.bars.get(name), result.met(name)
        said = ""
        if bar is not None:
            sign, limit = ("≤", bar["at_most"]) if "at_most" in bar else ("≥", bar["at_least"])
            said = f"{sign} {number(limit)}: {'met' if met else 'NOT MET'}"
        each = ", ".join(number(v) for v in values) if len(values) > 1 else ""
        found.append((result.name, name, summary(values), each, beside, said))
    return found


def one_line(text: object) -> str:
    """Text with every run of white space as one space."""
    return " ".join(str(text).split())


def _rounded(value: float | int) -> float | int:
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _commit(folder: Path) -> str:
    """The commit of the tree that the record is kept in, with "+" where that tree has changes."""
    while not folder.is_dir():
        folder = folder.parent
    commit = _git(folder, "rev-parse", "--short", "HEAD")
    if commit is None:
        return "unknown"
    # Records and pictures written a moment ago are not changes to what is measured.
    written = (f":(top,exclude,glob)**/*.{suffix}" for suffix in ("json", "png"))
    changes = _git(folder, "status", "--porcelain", "--untracked-files=all", "--", ":(top)", *written)
    return commit + ("+" if changes else "")


def _machine() -> dict[str, Any]:
    cpu = platform.processor() or platform.machine()
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        cpu = found[1].strip() if found else cpu
    except OSError:
        pass  # not Linux: the platform's own name stands
    machine: dict[str, Any] = {"cpu": cpu, "cores": os.cpu_count() or 1, "torch": torch.__version__}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return machine
