"""Papers of the methods, as BibTeX: ``citations.bib`` holds the entries, each with the methods that are to cite it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIBRARY = "absynth"
"""Key of the entry of this library."""


@dataclass(frozen=True)
class Citation:
    """One BibTeX entry.

    Args:
        key: Its key.
        kind: article, inproceedings ...
        fields: author, title, year ..., without braces around the values.
        methods: Names of the methods whose paper it is.
        background: Names of the methods that build on it.
    """

    key: str
    kind: str
    fields: dict[str, str]
    methods: tuple[str, ...]
    background: tuple[str, ...]

    def bibtex(self) -> str:
        """The entry as it goes into a .bib file."""
        width = max(map(len, self.fields))
        lines = [f"  {name:<{width}} = {{{value}}}," for name, value in self.fields.items()]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])


@cache
def entries() -> tuple[Citation, ...]:
    """All entries, in the order of the file."""
    text = (Path(__file__).parent / "citations.bib").read_text(encoding="utf-8")
    found = []
    for kind, key, body in re.findall(r"^@(\w+)\{([^,]+),\n(.*?)^\}", text, re.DOTALL | re.MULTILINE):
        fields = dict(re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?$", body, re.MULTILINE))
        methods, background = (
            tuple(filter(None, fields.pop(name, "").split(", "))) for name in ("keywords", "background")
        )
        found.append(Citation(key, kind, fields, methods, background))
    return tuple(found)


def of_method(method: str) -> list[Citation]:
    """The entries of a method: its own papers, then those that it builds on."""
    own = [entry for entry in entries() if method in entry.methods]
    return own + [entry for entry in entries() if method in entry.background]


def of_library() -> Citation:
    """The entry of this library."""
    return next(entry for entry in entries() if entry.key == LIBRARY)
