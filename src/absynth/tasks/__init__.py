"""Tasks on a trained run: one file each, found by name.

A task's module declares ``TITLE`` (a noun phrase for help and pages), ``NEEDS`` (what a model must have, one phrase),
``REPORT`` (the arguments that the report runs it with, or None where it needs something of the user) and ``command``,
whose parameters are the flags and whose docstring is the help. A command returns a
:class:`absynth.report.TaskResult` that it has saved, and raises :class:`absynth.errors.Unsupported` where the model
cannot.

Listing tasks imports none of them.
"""

from __future__ import annotations

import difflib
import importlib
import re
from functools import cache
from pathlib import Path
from types import ModuleType

from absynth.errors import InputError

_FIRST = ("sample", "evaluate", "reconstruct", "interpolate", "inpaint", "super_resolve", "translate", "predict")
"""The order of pages and help: these first, then the others by name."""


@cache
def titles() -> dict[str, str]:
    """The title of each task, in the order of pages and help."""
    found = {path.stem: title for path in Path(__file__).parent.glob("*.py") if (title := _title(path))}
    first = [name for name in _FIRST if name in found]
    return {name: found[name] for name in (*first, *sorted(set(found) - set(first)))}


def tasks() -> list[str]:
    """The names of the tasks."""
    return list(titles())


def find(name: str) -> ModuleType:
    """The module of a task.

    Raises:
        InputError: There is no such task; the message names the nearest.
    """
    if name not in titles():
        near = difflib.get_close_matches(name, tasks(), n=1, cutoff=0.4)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InputError(f"expected a task, got {name!r}{hint}: tasks are {', '.join(tasks())}")
    return importlib.import_module(f"{__name__}.{name}")


def _title(path: Path) -> str:
    """The literal that a module assigns to TITLE, or ""."""
    found = re.search(r'^TITLE = "(.*)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""
