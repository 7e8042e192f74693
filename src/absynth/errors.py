"""What goes wrong for a user, in one line: what was expected, what was got, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_FLAG = re.compile(
    r"(?P<command>(?:absynth [a-z_]+ |pip install )(?:(?!: )[^,;()])*)"  # is typed as it is, also from Python
    r"|another --out\b"
    r"|(?<![\w/.-])--(?P<flag>[a-z][a-z0-9_-]*)(?P<value> (?=[-\d\[/~]|[A-Z]+\b))?"
)
_typed = False


@contextmanager
def naming_flags() -> Iterator[None]:
    """Messages name flags, as on the command line, for the length of the block."""
    global _typed
    before, _typed = _typed, True
    try:
        yield
    finally:
        _typed = before


def with_fields(text: str) -> str:
    """A text written with flags in the form in which its reader gives them: in Python, as fields.

    >>> with_fields("expected --chain-steps of at least 1, got --chain-steps 0: see absynth train vae --help")
    'expected chain_steps of at least 1, got chain_steps=0: see absynth train vae --help'
    """
    return text if _typed else _FLAG.sub(_as_field, text)


def _as_field(found: re.Match) -> str:
    if found["command"]:
        return found[0]
    if not found["flag"]:
        return "another run directory"
    return found["flag"].replace("-", "_") + ("=" if found["value"] else "")


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says expected, got and what to do. The command line prints it without a traceback and
    exits with status 2; nothing that was on disk has been changed. A message is written with flags, ``--batch 5``; in
    Python it names the field, ``batch=5``.
    """

    def __str__(self) -> str:
        return with_fields(super().__str__())


class Unsupported(InputError):
    """A model or a data set cannot do what was requested; the message says why and what to use instead."""


class Diverged(RuntimeError):
    """Training diverged and the guard used up its tries; the message is the diagnosis."""
