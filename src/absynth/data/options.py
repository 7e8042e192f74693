"""Checks of the options that a reader takes: their types, as its signature states them, and their ranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from absynth.errors import InputError

LEAST = {
    "size": 0, "limit": 0, "anomaly": -1, "length": 2, "vocabulary_size": 4, "past": 2, "future": 1, "agents": 1,
    "neighbours": 0, "frames": 0, "points": 0, "side": 1, "piece": 1,
}  # fmt: skip
"""The smallest value of an option, in whichever reader; others are checked where they are used."""

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def check_values(reader: Callable, options: dict[str, Any]) -> None:
    """Raise an InputError unless each option has the type of the reader's signature and lies in its range.

    >>> from absynth.data.readers import read_tracks
    >>> check_values(read_tracks, {"past": 1.5})
    Traceback (most recent call last):
    absynth.errors.InputError: expected past to be a whole number, got 1.5
    """
    hints = get_type_hints(reader)
    for name, value in options.items():
        flag, hint = "--" + name.replace("_", "-"), hints.get(name)
        if get_origin(hint) is Literal:
            choices = get_args(hint)
            if value not in choices:
                raise InputError(f"expected {flag} to be one of {', '.join(map(str, choices))}, got {value!r}")
        elif hint in _WORDS and not _is_a(value, hint):
            raise InputError(f"expected {flag} to be {_WORDS[hint]}, got {value!r}")
        if name in LEAST and isinstance(value, Real) and value < LEAST[name]:
            raise InputError(f"expected {flag} of at least {LEAST[name]}, got {value}")


def _is_a(value: Any, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        return isinstance(value, Integral)
    if kind is float:
        return isinstance(value, Real) and math.isfinite(value)
    return isinstance(value, str | Path)
