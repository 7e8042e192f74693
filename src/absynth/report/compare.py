"""One page that lays runs beside each other: figures, samples, learning curves, and the numbers that differ."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from absynth import pictures, tasks
from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.report import html, logs
from absynth.report.html import escape
from absynth.report.logs import RunLog
from absynth.report.result import TaskResult

_TITLE = "Comparison of"
"""How the page's title begins, by which another one is recognized."""


def compare(runs: Sequence[Path], out: Path, say: Callable[[str], object] = print) -> Path:
    """Write one page that lays runs beside each other.

    Args:
        runs: Run directories, at least two.
        out: The page to write.
        say: Receives a line for a run whose samples cannot be drawn.

    Returns:
        ``out``.

    Raises:
        InputError: There are fewer than two runs, one of them is no run, the page cannot be written, or another file is
            there.
    """
    if len(runs) < 2:
        raise InputError(f"expected at least two runs to compare, got {len(runs)}: absynth compare RUN RUN ...")
    if out.exists() and not (out.is_file() and _TITLE in out.read_text(encoding="utf-8", errors="replace")[:2000]):
        raise InputError(f"{out} exists and is no comparison of runs: choose another --out")
    found = [logs.read(run) for run in runs]
    names = unique_names(runs)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        sections = [
            ("runs", "Runs", _runs(names, found)),
            ("figures", "Figures", _figures(names, found)),
            ("samples", "Samples", _samples(names, found, place, say)),
            ("curves", "Learning curves", _curves(names, found, place)),
            ("numbers", "Numbers that differ", _numbers(names, found)),
        ]
        heading = f"<h1>{escape(' · '.join(names))}</h1>"
        write_atomic(out, html.page(f"{_TITLE} {len(runs)} runs", heading, sections))
    return out


def unique_names(runs: Sequence[Path]) -> list[str]:
    """The shortest ends of the runs' paths that tell them apart.

    >>> unique_names([Path("a/x"), Path("b/x"), Path("c/y")])
    ['a/x', 'b/x', 'c/y']
    >>> unique_names([Path("runs/x"), Path("runs/y")])
    ['x', 'y']
    """
    parts = [run.resolve().parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(part)} ({i + 1})" for i, part in enumerate(parts)]


def _runs(names: Sequence[str], found: Sequence[RunLog]) -> str:
    rows = [
        [name, log.name, log.data, "" if log.seconds is None else html.duration(log.seconds)]
        for name, log in zip(names, found)
    ]
    return html.table("The runs", ["run", "method", "data", "training time"], rows)


def _figures(names: Sequence[str], found: Sequence[RunLog]) -> str:
    """A row per figure, a column per run, and the baselines, which the runs' data share."""
    rows: dict[tuple[str, str], list] = {}
    baselines: dict[tuple[str, str], dict[str, float]] = {}
    for i, log in enumerate(found):
        for _, result in log.results:
            for name, value in result.figures.items():
                if result.task == "sample" and name == "samples":
                    continue
                key = (result.task, name)
                rows.setdefault(key, [""] * len(found))[i] = value
                for method, other in result.baselines.get(name, {}).items():
                    baselines.setdefault(key, {}).setdefault(method, other)
    if not rows:
        return "<p>No task was run on these runs yet: absynth report RUN runs them.</p>"
    table = []
    for (task, name), values in sorted(rows.items(), key=lambda row: (row[0] not in baselines, row[0])):
        others = "; ".join(f"{m} {v:.4g}" for m, v in baselines.get((task, name), {}).items())
        table.append([name, *values, others, task])
    caption = "Figures with a baseline first. Baselines are those of the first run that has them."
    return html.table(caption, ["figure", *names, "baselines", "task"], table)


def _samples(names: Sequence[str], found: Sequence[RunLog], place: Path, say: Callable[[str], object]) -> str:
    """The images of each run's samples; drawn for a run that has none, without a change to the run."""
    shown = []
    for i, (name, log) in enumerate(zip(names, found)):
        known = log.result("sample") or _draw(log.run, place / str(i), name, say)
        if known is None:
            continue
        folder, result = known
        tables = "".join(html.table(t["caption"], t["columns"], t["rows"][:10]) for t in result.tables)
        shown.append(f"<div><h3>{escape(name)}</h3>{html.images(folder, result)}{tables}</div>")
    return f'<div class="curves">{"".join(shown)}</div>' if shown else ""


def _draw(run: Path, folder: Path, name: str, say: Callable[[str], object]) -> tuple[Path, TaskResult] | None:
    try:
        return folder, tasks.find("sample").command(run, n=36, out=folder)
    except (InputError, RuntimeError, OSError) as error:
        say(f"{name}: no samples ({' '.join(str(error).split())})")
        return None


def _curves(names: Sequence[str], found: Sequence[RunLog], place: Path) -> str:
    """The loss of each player, the runs that have it in one image; and time per update."""
    lines: dict[str, dict] = {}
    for name, log in zip(names, found):
        for player, line in logs.series(log.metrics, "loss").items():
            lines.setdefault(f"Loss of the {player}", {})[name] = line
        seconds = [line for line in log.metrics if isinstance(line.get("seconds"), int | float)]
        if seconds:
            xs, ys = [line["step"] for line in seconds], [float(line["seconds"]) for line in seconds]
            lines.setdefault("Seconds of training", {})[name] = (xs, ys)
    shown = []
    for i, (title, series) in enumerate(lines.items()):
        path = place / f"curve{i}.png"
        pictures.curves(path, series, "step", title.split()[0].lower(), title)
        shown.append(html.image(path, title))
    return f'<div class="curves">{"".join(shown)}</div>' if shown else ""


def _numbers(names: Sequence[str], found: Sequence[RunLog]) -> str:
    keys = list(dict.fromkeys(key for log in found for key in log.fields))
    rows = []
    for key in keys:
        values = [html.brief(html.text(log.fields[key])) if key in log.fields else "" for log in found]
        if len(set(values)) > 1:
            rows.append([key, *values])
    return html.table("Fields of the recipes", ["field", *names], rows) if rows else "<p>All numbers are equal.</p>"
