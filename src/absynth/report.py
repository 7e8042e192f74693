"""A run's report: one self-contained HTML page with pictures, curves and figures, and no link that leaves it.

:class:`TaskResult` is what a task leaves in ``RUN/<task>/result.json``; :func:`write` gathers all of them, the recipe,
the journal and the metrics into ``RUN/report.html``.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from absynth import pictures
from absynth.errors import InputError
from absynth.files import read_json, write_atomic, write_json
from absynth.report_style import CSS
from absynth.results import number

_SECTIONS = {
    "sample": "Samples",
    "reconstruct": "Reconstruction",
    "interpolate": "Interpolation",
    "chain": "The chain",
    "revise": "Revision",
    "detect": "Detection",
    "classify": "Classification",
    "inpaint": "Inpainting",
    "super_resolve": "Super-resolution",
    "translate": "Translation",
    "compose": "Composition",
    "likelihood": "Likelihood",
    "predict": "Prediction",
    "guide": "Guided sampling",
    "edit": "Editing",
    "perplexity": "Perplexity",
}
_TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp"}
# What a loss says, where recipe.json has no word on it: the players that most algorithms have.
_CONTRAST = "is f(neg) − f(pos): near 0 at balance; it is not a likelihood, and lower is not better"
_MEANINGS = {
    "prior": _CONTRAST,
    "ebm": _CONTRAST,
    "generator": "is minus its log density of the examples it is taught: it should fall, then level off",
    "inference": "says how far it is from the latent vectors it is taught: it should fall, then level off",
    "flow": "is minus its log density of the examples it is taught: it should fall, then level off",
    "to": "is how far it is from revised translations, and from having gone there and back: it should fall",
    "rec": "is its error at the next frame, of its own domain and through the other: it should fall",
}
_STATES = {"finish": "finished", "interrupt": "stopped by its user", "diverged": "given up by the guard: diverged"}


class Picture(TypedDict):
    """A picture in the result's own folder. The caption stands beneath it, and for it where it cannot be seen."""

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
    """The command's name, for instance ``detect``: it decides the report's section."""
    title: str
    command: str
    """What to type to repeat it."""
    seed: int
    text: str
    """What was done, how to read it: plain text, blank lines between paragraphs."""
    pictures: list[Picture] = field(default_factory=list)
    figures: dict[str, float | int] = field(default_factory=dict)
    baselines: dict[str, dict[str, float | int]] = field(default_factory=dict)
    """Figure name -> method -> the same figure by that method."""
    tables: list[ResultTable] = field(default_factory=list)

    def add(self, shown: Sequence[Picture | ResultTable]) -> None:
        """Append pictures and tables, as a recipe's ``show`` makes them."""
        for part in shown:
            if "file" in part:
                self.pictures.append(part)
            else:
                self.tables.append(part)

    def save(self, folder: Path) -> Path:
        """Write ``folder/result.json``, whole or not at all. Raises InputError where a field lacks its form."""
        path = folder / "result.json"
        contents = asdict(self)
        _validate(contents, path)
        write_json(path, contents)
        return path

    @classmethod
    def load(cls, folder: Path) -> TaskResult:
        """Read ``folder/result.json``. Raises InputError where it is missing or damaged."""
        path = folder / "result.json"
        contents = read_json(path, "run the task again")
        _validate(contents, path)
        return cls(**contents)


def write(run: Path) -> Path:
    """Write ``run/report.html`` from what the run's directory holds, and return its path.

    Args:
        run: a run. ``recipe.json`` must be there: ``{"recipe": name, "fields": {...}}``, and if given ``"help"``
            (field -> text) and ``"losses"`` (player -> what its loss says). All else is shown where it is found.

    Raises:
        InputError: there is no recipe, or a file is damaged beyond a line that was cut off.
    """
    recipe = read_json(run / "recipe.json", "give the directory of a run")
    name, fields = recipe.get("recipe"), recipe.get("fields")
    if not isinstance(name, str) or not isinstance(fields, dict):
        raise InputError(f'{run / "recipe.json"} must hold "recipe" (text) and "fields" (object), got others: damaged')
    metrics, cut = _read_lines(run / "metrics.jsonl")
    journal, cut_journal = _read_lines(run / "journal.jsonl")
    metrics, dropped = _current(metrics)
    found = [(p.parent, TaskResult.load(p.parent)) for p in sorted(run.glob("*/result.json"))]
    sections = [("figures", "Figures", _figures(found))]
    for task, title in _SECTIONS.items():
        sections.append((task, title, "".join(_task(f, r) for f, r in found if r.task == task)))
    sections += [
        ("others", "Other tasks", "".join(_task(f, r) for f, r in found if r.task not in _SECTIONS)),
        ("curves", "Learning curves", _curves(run, metrics, dropped, cut, recipe.get("losses"))),
        ("journal", "What happened while it trained", _journal(journal, cut_journal)),
        ("recipe", "The recipe", _fields(fields, recipe.get("help"))),
        ("repeat", "How to repeat it", _repeat(run, name, journal, found)),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{key}">{_e(title)}</a>' for key, title, _ in sections)
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{_e(title)}</h2>{inside}</section>\n'
        for key, title, inside in sections
    )
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        # Nothing can be fetched, whatever a caption holds: the page is what it is on any machine.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_e(name)}: {_e(run.resolve().name)}</title><style>{CSS}</style></head>\n<body><main>\n"
        f"<header><h1>{_e(name)}</h1>{_facts(run, fields, metrics, journal)}</header>\n"
        f'<nav aria-label="Sections">{links}</nav>\n{body}</main></body></html>\n'
    )
    path = run / "report.html"
    write_atomic(path, page)
    return path


def _facts(run: Path, fields: Mapping[str, Any], metrics: Sequence[dict], journal: Sequence[dict]) -> str:
    times = [text for entry in journal if (text := _time(entry.get("time")))]
    step = max([entry["step"] for entry in [*metrics[-1:], *journal[-1:]] if "step" in entry], default=None)
    last = journal[-1].get("event") if journal else None
    state = _STATES.get(str(last), "not finished, last seen")
    state += f" at step {number(step)}" if step is not None else " before its first step"
    when = f"{times[0]} to {times[-1]}" if len(times) > 1 else times[0] if times else "not recorded"
    data = fields.get("data") or "the recipe's own"
    facts = {"Run": run.resolve().name, "Data": _text(data), "Date": when, "State": state}
    return "<dl>" + "".join(f"<dt>{k}</dt><dd>{_e(v)}</dd>" for k, v in facts.items()) + "</dl>"


def _figures(found: Sequence[tuple[Path, TaskResult]]) -> str:
    rows = []
    for folder, result in found:
        for name, value in result.figures.items():
            beside = result.baselines.get(name, {})
            rows.append([name, value, "; ".join(f"{m} {number(v)}" for m, v in beside.items()), folder.name])
    caption = "Each figure's protocol is told in its task's section."
    return _table(caption, ["figure", "this run", "baselines", "task"], rows) if rows else ""


def _task(folder: Path, result: TaskResult) -> str:
    parts = [f"<h3>{_e(result.title)}</h3>"]
    parts += [f"<p>{_e(part)}</p>" for part in re.split(r"\n\s*\n", result.text.strip()) if part]
    parts += [_picture(folder / picture["file"], picture["caption"]) for picture in result.pictures]
    parts += [_table(table["caption"], table["columns"], table["rows"]) for table in result.tables]
    return "".join(parts) + f'<p class="soft">Seed {result.seed}. <code>{_e(result.command)}</code></p>'


def _picture(path: Path, caption: str) -> str:
    kind = _TYPES.get(path.suffix.lower())
    if kind is None or not path.is_file():
        why = "is missing" if kind else "is not a picture that a page can hold"
        return f'<p class="soft">The picture {_e(path.name)} {why}: {_e(caption)}</p>'
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    image = f'<img alt="{_e(caption)}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{_e(caption)}</figcaption></figure>"


def _curves(run: Path, metrics: Sequence[dict], dropped: int, cut: int, meanings: object) -> str:
    if not metrics:
        return ""
    meanings = meanings if isinstance(meanings, dict) else {}
    shown, said = [], []

    def draw(file: str, caption: str, series: dict, y_label: str, log: bool = False) -> None:
        path = run / "curves" / f"{re.sub(r'[^A-Za-z0-9_-]', '_', file)}.png"
        pictures.curves(path, series, "step", y_label, caption, log=log)
        ends = ", ".join(f"{name} {number(ys[-1])}" for name, (_, ys) in series.items() if name != "limit 4")
        shown.append(_picture(path, f"{caption}. Last: {ends}."))

    for player, line in _series(metrics, "loss").items():
        draw(f"loss_{player}", f"Loss of the {player}", {player: line}, "loss")
        meaning = meanings.get(player) or _MEANINGS.get(re.sub(r"_.*", "", player))
        if meaning:
            said.append(f"The loss of the {player} {meaning}.")
    if energy := _series(metrics, "energy"):
        draw("energy", "Mean energy of positive and negative examples", energy, "−f − log p_0")
    if gradient := _series(metrics, "gradient"):
        draw("gradient", "Norm of each player's gradient", gradient, "norm", log=True)
    if stability := _series(metrics, "stability"):
        steps = [xs for xs, _ in stability.values()]
        ends = [min(xs[0] for xs in steps), max(xs[-1] for xs in steps)]
        draw("stability", "Stability δ²λ of the chains", {**stability, "limit 4": (ends, [4, 4])}, "δ²λ", log=True)
        said.append(
            "δ²λ is the squared step size times the largest curvature of the density that the chain moves on: "
            "above 4 a Langevin step without noise overshoots further each time, and chains diverge."
        )
    if chain := _series(metrics, "chain"):
        draw("chain", "Size of the chains' states", chain, "size", log=True)
    if dropped:
        said.append(f"{dropped} lines that the run went back behind are not drawn.")
    if cut:
        said.append(
            f"{cut} line{'s' * (cut > 1)} of metrics.jsonl could not be read and {'are' if cut > 1 else 'is'} left out."
        )
    text = "".join(f"<p>{_e(sentence)}</p>" for sentence in said)
    return f'{text}<div class="curves">{"".join(shown)}</div>'


def _series(metrics: Sequence[dict], key: str) -> dict[str, tuple[list, list]]:
    """Name -> (steps, values) of one kind of measurement; the parts of a chain's size are named "name: part"."""
    series: dict[str, tuple[list, list]] = {}
    for line in metrics:
        found = line.get(key)
        for name, value in found.items() if isinstance(found, dict) else ():
            parts = {f"{name}: {k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
            for part, v in parts.items():
                xs, ys = series.setdefault(part, ([], []))
                xs.append(line["step"])
                ys.append(float(v) if isinstance(v, (int, float)) else float("nan"))
    return series


def _journal(journal: Sequence[dict], cut: int) -> str:
    if not journal:
        return ""
    acted = sum(entry.get("event") == "guard" for entry in journal)
    times = {0: "did not need to act", 1: "acted once"}.get(acted, f"acted {acted} times")
    note = f" {cut} of the journal's lines could not be read." if cut else ""
    rows = [[_time(j.get("time")), j.get("step", ""), j.get("event", ""), j.get("text", "")] for j in journal]
    marks = [str(j.get("event")) if j.get("event") in ("guard", "damaged", "diverged") else "" for j in journal]
    table = _table("The run's journal", ["time", "step", "event", "what"], rows, marks)
    return f"<p>The guard, which watches for divergence, {times}.{note}</p>{table}"


def _fields(fields: Mapping[str, Any], helps: object) -> str:
    helps = helps if isinstance(helps, dict) else {}
    rows = [
        [key, _brief(_text(value)), *([_text(helps.get(key, ""))] if helps else [])] for key, value in fields.items()
    ]
    return _table("Every number of the run", ["field", "value", *(["meaning"] if helps else [])], rows)


def _repeat(run: Path, name: str, journal: Sequence[dict], found: Sequence[tuple[Path, TaskResult]]) -> str:
    trained = next((j["command"] for j in journal if isinstance(j.get("command"), str)), None)
    note = (
        "" if trained else "<p>Train with every field as the recipe above has it, then ask the same of the model.</p>"
    )
    lines = [
        trained or f"absynth train {name} --out {run.resolve().name}_again",
        *(result.command for _, result in found),
    ]
    return f"{note}<pre><code>{_e(chr(10).join(lines))}</code></pre>"


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], marks: Sequence[str] = ()) -> str:
    numeric = [all(_is_number(row[i]) for row in rows) and bool(rows) for i in range(len(columns))]
    sides = [' class="n"' if right else "" for right in numeric]
    head = "".join(f'<th scope="col"{side}>{_e(c)}</th>' for c, side in zip(columns, sides))
    body = []
    for r, row in enumerate(rows):
        cells = [number(cell) if _is_number(cell) else _text(cell) for cell in row]
        first = f'<th scope="row"{sides[0]}>{_e(cells[0])}</th>' if cells else ""
        rest = "".join(f"<td{side}>{_e(cell)}</td>" for cell, side in zip(cells[1:], sides[1:]))
        mark = f' class="{marks[r]}"' if marks and marks[r] else ""
        body.append(f"<tr{mark}>{first}{rest}</tr>")
    said = _e(caption)
    return (
        f'<div class="wide" role="region" aria-label="{said}" tabindex="0"><table><caption>{said}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _read_lines(path: Path) -> tuple[list[dict], int]:
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


def _current(metrics: Sequence[dict]) -> tuple[list[dict], int]:
    """The lines that the run's present state descends from: going back to a step withdraws those from it on."""
    kept: list[dict] = []
    lines = [line for line in metrics if isinstance(line.get("step"), int)]
    for line in lines:
        while kept and kept[-1]["step"] >= line["step"]:
            kept.pop()
        kept.append(line)
    return kept, len(lines) - len(kept)


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

    fields = set(TaskResult.__dataclass_fields__)
    need(contents.keys() == fields, f"its keys must be {', '.join(sorted(fields))}", sorted(contents))
    for key in ("task", "title", "command", "text"):
        need(isinstance(contents[key], str), f"{key} must be text", contents[key])
    need(type(contents["seed"]) is int, "seed must be an integer", contents["seed"])
    for row in rows_of("pictures", {"file": str, "caption": str}):
        need(row["file"] == Path(row["file"]).name, "a picture's file must be a name in the folder", row["file"])
    for row in rows_of("tables", {"caption": str, "columns": list, "rows": list}):
        good = all(isinstance(cells, list) and len(cells) == len(row["columns"]) for cells in row["rows"])
        good = good and all(c is None or isinstance(c, (str, int, float)) for cells in row["rows"] for c in cells)
        need(good, "a table's rows must have one text or number a column", row["rows"])
    figures, baselines = contents["figures"], contents["baselines"]
    need(isinstance(figures, dict) and all(map(_is_number, figures.values())), "figures must be numbers", figures)
    need(isinstance(baselines, dict) and baselines.keys() <= figures.keys(), "baselines must be of figures", baselines)
    for methods in baselines.values():
        good = isinstance(methods, dict) and all(map(_is_number, methods.values()))
        need(good, "baselines must be figure name -> method -> number", methods)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _brief(text: str, most: int = 300) -> str:
    """The text, or its beginning: a recipe may hold a whole vocabulary."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text)} characters, all in recipe.json)"


def _time(value: object) -> str:
    """An ISO time as people read it, to the minute."""
    try:
        return datetime.fromisoformat(str(value)).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return ""


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)
