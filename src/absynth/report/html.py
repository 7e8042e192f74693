"""Parts of a self-contained HTML page: text is escaped, images are embedded, nothing is fetched."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from absynth.report.result import TaskResult, is_number
from absynth.report.style import CSS
from absynth.results import number

_TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp"}

Section = tuple[str, str, str]
"""Id, title and content of a section of a page; one without content is left out."""


def escape(value: object) -> str:
    """Text that is safe in HTML."""
    return html.escape(str(value), quote=True)


def page(title: str, heading: str, sections: Sequence[Section]) -> str:
    """A page from its sections.

    Args:
        title: Title of the window.
        heading: HTML of the header.
        sections: In order.
    """
    sections = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, name, _ in sections)
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{escape(name)}</h2>'
        f"{inside}</section>\n"
        for key, name, inside in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        # Nothing can be fetched, whatever a caption holds: the page is the same on any machine.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><main>\n"
        f"<header>{heading}</header>\n"
        f'<nav aria-label="Sections">{links}</nav>\n{body}</main></body></html>\n'
    )


def facts(values: Mapping[str, Any]) -> str:
    """Names and values, a line each."""
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in values.items()) + "</dl>"


def image(path: Path, caption: str) -> str:
    """An embedded image, or a line that says why it is not there."""
    kind = _TYPES.get(path.suffix.lower())
    if kind is None or not path.is_file():
        why = "is missing" if kind else "is not an image that a page can hold"
        return f'<p class="soft">The image {escape(path.name)} {why}: {escape(caption)}</p>'
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    shown = f'<img alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def images(folder: Path, result: TaskResult) -> str:
    """Every image of a result."""
    return "".join(image(folder / each["file"], each["caption"]) for each in result.pictures)


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], marks: Sequence[str] = ()) -> str:
    """A table; columns that hold nothing but numbers are aligned to the right.

    Args:
        caption: What it shows.
        columns: Names of the columns.
        rows: Text or numbers.
        marks: A class for each row, or "".
    """
    numeric = [all(is_number(row[i]) for row in rows) and bool(rows) for i in range(len(columns))]
    sides = [' class="n"' if right else "" for right in numeric]
    head = "".join(f'<th scope="col"{side}>{escape(c)}</th>' for c, side in zip(columns, sides))
    body = []
    for r, row in enumerate(rows):
        cells = [number(cell) if is_number(cell) else text(cell) for cell in row]
        first = f'<th scope="row"{sides[0]}>{escape(cells[0])}</th>' if cells else ""
        rest = "".join(f"<td{side}>{escape(cell)}</td>" for cell, side in zip(cells[1:], sides[1:]))
        mark = f' class="{escape(marks[r])}"' if marks and marks[r] else ""
        body.append(f"<tr{mark}>{first}{rest}</tr>")
    said = escape(caption)
    return (
        f'<div class="wide" role="region" aria-label="{said}" tabindex="0"><table><caption>{said}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def paragraphs(said: str) -> str:
    """Plain text as paragraphs: blank lines separate them."""
    return "".join(f"<p>{escape(part)}</p>" for part in re.split(r"\n\s*\n", said.strip()) if part)


def text(value: object) -> str:
    """A value of a recipe or a table as text."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def brief(value: str, most: int = 300) -> str:
    """The text, or its beginning: a recipe may hold a whole vocabulary."""
    return value if len(value) <= most else f"{value[:most]} … ({len(value)} characters, all in recipe.json)"


def clock(value: object) -> str:
    """An ISO time as people read it, to the minute."""
    try:
        return datetime.fromisoformat(str(value)).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return ""


def duration(seconds: int | float) -> str:
    """A number of seconds as people say it.

    >>> duration(42), duration(130), duration(7300)
    ('42 s', '2 min 10 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
