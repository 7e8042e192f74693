"""Types of fields that state the range of their values; a recipe with a value out of range cannot be made.

>>> check_bounds(int, "steps", 0, Count)
Traceback (most recent call last):
absynth.errors.InputError: expected steps of at least 1, got 0
>>> check_bounds(int, "step_size", 1e30, Positive)
Traceback (most recent call last):
absynth.errors.InputError: expected step_size of at most 1e+18, got 1e+30
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, get_args, get_type_hints

from absynth.errors import InputError


@dataclass(frozen=True)
class Bound:
    """The range [low, high], without its ends if ``open``."""

    low: float | int = -math.inf
    high: float | int = math.inf
    open: bool = False

    def holds(self, value: float | int) -> bool:
        """Whether a value lies in the range."""
        return math.isfinite(value) and (self.low < value < self.high if self.open else self.low <= value <= self.high)

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}" if self.open else f"of at least {self.low:g}"
        return f"{'strictly ' if self.open else ''}between {self.low:g} and {self.high:g}"


LARGEST = 1e18
"""Of any bounded field: the square of a larger number is none in single precision."""

Count = Annotated[int, Bound(1)]
"""A whole number of at least 1."""
Natural = Annotated[int, Bound(0)]
"""A whole number of at least 0."""
Positive = Annotated[float, Bound(0, open=True)]
"""A number above 0."""
NonNegative = Annotated[float, Bound(0)]
"""A number of at least 0."""
Share = Annotated[float, Bound(0, 1)]
"""A number between 0 and 1."""
Decay = Annotated[float, Bound(0, 1 - 1e-12)]
"""A number of at least 0 and below 1."""


@lru_cache(maxsize=256)
def bounds_of(cls: type) -> dict[str, Bound]:
    """The range of each field of a class whose type states one."""
    hints = get_type_hints(cls, include_extras=True)
    found = {name: [a for a in get_args(hint)[1:] if isinstance(a, Bound)] for name, hint in hints.items()}
    return {name: bounds[0] for name, bounds in found.items() if bounds}


@lru_cache(maxsize=256)
def _types_of(cls: type) -> dict[str, Any]:
    """The type of each field of a class, without its range."""
    return get_type_hints(cls)


def check_bounds(cls: type, name: str, value: Any, hint: Any = None) -> None:
    """Raise an InputError if a field's value is out of its range.

    Args:
        cls: The class that declares the field.
        name: Name of the field.
        value: Its value.
        hint: The type that states the range. Defaults to the field's own.

    Raises:
        InputError: The value is no number, is out of its range, or above :data:`LARGEST`.
    """
    bound = bounds_of(cls).get(name) if hint is None else get_args(hint)[1]
    if bound is None:
        return
    whole = (_types_of(cls)[name] if hint is None else get_args(hint)[0]) is int
    if isinstance(value, bool | str) or value is None or (whole and isinstance(value, float)):
        kind = "a whole number" if whole else "a number"
        raise InputError(f"expected --{name.replace('_', '-')} to be {kind}, got {value!r}")
    if not isinstance(value, int | float):
        return
    if not bound.holds(value):
        raise InputError(f"expected --{name.replace('_', '-')} {bound}, got {value:g}")
    if abs(value) > LARGEST:
        raise InputError(f"expected --{name.replace('_', '-')} of at most {LARGEST:g}, got {value:g}")
