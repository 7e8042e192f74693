"""A recorded log density: the calls of torch functions that make its value, and how to run them again.

:mod:`absynth.engine.trace` makes records; here is what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


def words(text: str) -> list[str]:
    """The words of a line: a list that is easy to read."""
    return text.split()


ARITHMETIC = words("add div divide mul multiply rsub sub subtract true_divide __radd__ __rmul__ __rsub__ __truediv__")


class Ref(NamedTuple):
    """A tensor that a recorded call returns; number 0 is the argument itself."""

    index: int
    shape: torch.Size
    dtype: torch.dtype


@dataclass(frozen=True)
class Call:
    """One call of a torch function; its arguments are ``Ref``s, leaves (tensors) and plain values."""

    func: Callable
    args: tuple
    kwargs: dict[str, Any]
    out: Any
    """``Ref``s nested as the function's result is; None where it only changes its first argument."""
    grad: bool
    """Whether gradients were enabled."""


@dataclass(frozen=True)
class Trace:
    """A log density as a list of calls, of which only those that the value depends on are kept."""

    x: Ref
    calls: list[Call]
    out: Ref

    def leaves(self) -> list[Tensor]:
        """Every tensor other than x that the calls use, each once, in order of use."""
        found: dict[int, Tensor] = {}
        for call in self.calls:
            for t in tensors_of(call.args, call.kwargs):
                found.setdefault(id(t), t)
        return list(found.values())

    def signature(self) -> tuple:
        """Equal for two records that differ only in the values of their leaves."""
        number = {id(t): i for i, t in enumerate(self.leaves())}

        def key(a: Any) -> Any:
            if isinstance(a, Ref):
                return ("ref", a.index)
            if isinstance(a, Tensor):
                return ("leaf", number[id(a)], a.shape, a.stride(), a.dtype, a.device)
            if isinstance(a, (tuple, list)):
                return (type(a), *map(key, a))
            if isinstance(a, dict):
                return tuple((k, key(v)) for k, v in a.items())
            return (type(a), repr(a) if isinstance(a, (float, slice)) else a)

        calls = tuple((call.func, call.grad, key(call.args), key(call.kwargs)) for call in self.calls)
        return (self.x.shape, self.x.dtype, self.out.index, calls)

    def with_scalar_leaves(self) -> Trace:
        """The same record with the floats of its arithmetic as leaves, so that other floats have the same signature."""
        made: dict[float, Tensor] = {}

        def value(a: Any) -> Any:
            if type(a) is not float:
                return a
            return made.setdefault(a, torch.tensor(a, dtype=torch.float64))

        calls = [
            Call(c.func, replaced(c.args, value), c.kwargs, c.out, c.grad) if c.func.__name__ in ARITHMETIC else c
            for c in self.calls
        ]
        return Trace(self.x, calls, self.out)

    def run(self, x: Tensor, leaves: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
        """The log density again, on x and on other leaves of the same shapes."""
        stand_for = {id(old): new for old, new in zip(self.leaves(), leaves)}
        results = {self.x.index: x}

        def value(a: Any) -> Any:
            if isinstance(a, Ref):
                return results[a.index]
            return stand_for[id(a)] if isinstance(a, Tensor) else a

        for call in self.calls:
            with torch.set_grad_enabled(call.grad):
                made = call.func(*replaced(call.args, value), **replaced(call.kwargs, value))
            refs = [r for r in flat(call.out) if isinstance(r, Ref)]
            results.update((r.index, t) for r, t in zip(refs, (t for t in flat(made) if isinstance(t, Tensor))))
        return results[self.out.index]


def flat(a: Any) -> Iterator[Any]:
    """Everything inside nested tuples, lists and dicts."""
    if isinstance(a, Ref) or not isinstance(a, (tuple, list, dict)):
        yield a
        return
    for item in a.values() if isinstance(a, dict) else a:
        yield from flat(item)


def replaced(a: Any, value: Callable[[Any], Any]) -> Any:
    """The same nesting of tuples, lists and dicts with every item replaced by ``value(item)``."""
    if type(a) is Ref or not isinstance(a, (tuple, list, dict)):
        return value(a)
    if isinstance(a, dict):
        return {k: replaced(v, value) for k, v in a.items()} if a else {}
    items = [replaced(item, value) if isinstance(item, (tuple, list, dict)) else value(item) for item in a]
    if type(a) is tuple:
        return tuple(items)
    if isinstance(a, list):
        return items
    return type(a)(*items) if hasattr(a, "_fields") else type(a)(items)  # else one of torch.return_types


def tensors_of(args: tuple, kwargs: dict[str, Any]) -> list[Tensor]:
    """Every tensor among a call's arguments. Most calls have nothing nested: they are looked at once."""
    found = []
    for a in args:
        if isinstance(a, Tensor):
            found.append(a)
        elif isinstance(a, (tuple, list, dict)):
            found += [t for t in flat(a) if isinstance(t, Tensor)]
    return found + [t for t in flat(kwargs) if isinstance(t, Tensor)] if kwargs else found
