"""Shapes and types checked at run time, at a price that the tests can pay."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jaxtyping

ALWAYS, EVERY = 50, 50
"""A function's first calls in a process are all checked, and then one in so many: the inner loop of a chain makes
millions, which checks would make twice as long."""
_jaxtyped = jaxtyping.jaxtyped


def check_in_tests() -> None:
    """Check the annotations of everything in absynth that is imported from now on."""
    jaxtyping.jaxtyped = _sampled  # what the import hook decorates with
    jaxtyping.install_import_hook("absynth", "beartype.beartype")


def _sampled(f: Any = None, *, typechecker: Any = None) -> Any:
    if f is None:
        return functools.partial(_sampled, typechecker=typechecker)
    if not inspect.isfunction(f) or inspect.isgeneratorfunction(f):
        return _jaxtyped(f, typechecker=typechecker)
    checked: Callable[..., Any] | None = None
    calls = 0

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked, calls
        calls += 1
        if calls > ALWAYS and calls % EVERY:
            return f(*args, **kwargs)
        if checked is None:
            checked = _jaxtyped(f, typechecker=typechecker)
        return checked(*args, **kwargs)

    return wrapped
