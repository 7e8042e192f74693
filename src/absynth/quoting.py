"""Documents that quote recorded figures: the figures are written between markers from the records, never by hand::

    <!-- results:NAME -->  ...a table...  <!-- /results -->        NAME, NAME2 or all
    <!-- figure:NAME.FIGURE -->0.912 ± 0.004<!-- /figure -->       FIGURE, or FIGURE/METHOD for a baseline
    <!-- median:NAME.FIGURE -->0.91<!-- /median -->                two decimals, of rounds that a slow one would spoil

:func:`write_into` fills them in and :func:`check` lists those that no longer say what was recorded. Markers within
code (backticks or fences) are left alone.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.results import COLUMNS, Result, load_all, one_line, rows, summary

# Code comes first in the alternation, so that a marker that is only quoted is passed over.
_PLACES = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)"
    r"|(?P<open><!--\s*results:(?P<names>[^>]*?)\s*-->)(?P<block>.*?)<!--\s*/results\s*-->"
    r"|(?P<inline><!--\s*(?P<kind>figure|median):(?P<figure>[^>]*?)\s*-->)(?P<value>.*?)<!--\s*/(?P=kind)\s*-->"
    r"|(?P<stray><!--\s*/?(?:results|figure|median)\b.*?-->)",
    re.DOTALL,
)


def markdown_table(results: Mapping[str, Result]) -> str:
    """The records as a Markdown table, and beneath it one line a record: data, protocol, seeds, command, commit."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for result in results.values():
        lines += ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in rows(result)]
    lines += ["", "± is the standard deviation over seeds; a bar is on the mean.", ""]
    for r in results.values():
        machine = ", ".join(f"{key} {value}" for key, value in r.machine.items())
        said = [r.data, r.protocol, f"seeds {', '.join(map(str, r.seeds))}"]
        said += [f"{name}: {bar['why']}" for name, bar in r.bars.items()]
        text = "; ".join(part.strip().rstrip(".;") for part in said if part.strip())
        command = one_line(r.command).replace("`", "'").replace("-->", "-- >")  # code: shown as is, so entities are not
        origin = f"`{command}` at {_escaped(r.commit)} ({_escaped(machine)})"
        lines.append(f"- **{_escaped(r.name)}**: {_escaped(text)}. {origin}")
    return "\n".join(lines)


def write_into(document: Path, results: Path) -> list[str]:
    """Write the recorded figures between a Markdown file's markers.

    Args:
        document: the file.
        results: the folder of records.

    Returns:
        The markers whose contents changed; the file is untouched where there are none.

    Raises:
        InputError: a marker names what was not recorded, or is not closed.
    """
    text, stale = _filled(document, results)
    if stale:
        write_atomic(document, text)
    return [marker for _, marker in stale]


def check(document: Path, results: Path) -> list[str]:
    """The places in a Markdown file that do not say what was recorded, one line each; empty where all do."""
    _, stale = _filled(document, results)
    return [f"{document.name}:{line}: {marker} differs from what was recorded" for line, marker in stale]


def _filled(document: Path, folder: Path) -> tuple[str, list[tuple[int, str]]]:
    """The document with every marker filled in, and (line, marker) of those whose contents were different."""
    try:
        text = document.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"document must be a Markdown file, got {document}: {one_line(error)}") from error
    results = load_all(folder)
    stale: list[tuple[int, str]] = []

    def place(match: re.Match[str]) -> str:
        where = f"{document.name}:{text.count(chr(10), 0, match.start()) + 1}"
        if match["code"] is not None:
            return match[0]
        inside = match["block"] if match["open"] else match["value"]
        if match["stray"] or re.search(r"<!--\s*(results|figure|median):", inside):
            raise InputError(
                f"{where}: a marker must be opened and closed, got {one_line(match[0])[:60]}: add its other half"
            )
        if match["open"]:
            marker, opening, closing = f"results:{match['names']}", match["open"], "<!-- /results -->"
            names = list(results) if match["names"] == "all" else [n.strip() for n in match["names"].split(",")]
            for name in names:
                _known(name, results, "record", where)
            wanted = "\n\n" + markdown_table({name: results[name] for name in names}) + "\n\n"
        else:
            kind = match["kind"]
            marker, opening, closing = f"{kind}:{match['figure']}", match["inline"], f"<!-- /{kind} -->"
            name, _, figure = match["figure"].partition(".")
            result = _known(name, results, "record", where)
            values = _known(figure, {**result.baselines, **result.figures}, f"figure of {name}", where)
            wanted = summary(values) if kind == "figure" else f"{statistics.median(values):.2f}"
        if inside.replace("\r\n", "\n") == wanted:
            return match[0]
        stale.append((text.count("\n", 0, match.start()) + 1, marker))
        return opening + wanted + closing

    return _PLACES.sub(place, text), stale


def _known(name: str, among: Mapping[str, Any], what: str, where: str) -> Any:
    if name not in among:
        raise InputError(
            f"{where}: expected a {what}, one of {', '.join(among) or 'none yet'}, got {name!r}: record it first"
        )
    return among[name]


def _escaped(text: str) -> str:
    """Text that stays text within a Markdown table."""
    return re.sub(
        r"([\\`*_|\[\]])", r"\\\1", one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    )
