"""Cross-references of docstrings, written as :class:`Name`, become links of the reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`([^`]+)`")


class Roles(griffe.Extension):
    """Replace Sphinx roles in every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each object that was collected."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(lambda found: link(obj, found[1]), obj.docstring.value)


def link(obj: griffe.Object, role: str) -> str:
    """A link to a name as seen from an object; plain code where the site has no such object."""
    name = role.removeprefix("~")
    shown = f"<code>{name.rpartition('.')[2] if role != name else name}</code>"
    try:
        target = obj.resolve(name)
    except griffe.NameResolutionError:
        return shown
    return f'<autoref optional identifier="{target}">{shown}</autoref>'
