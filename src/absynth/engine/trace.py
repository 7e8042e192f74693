"""What a log density does to its argument, recorded without doing it.

The log density is called once on a stand-in that has a shape but no numbers (torch's meta device), while every torch
function that it calls is written down. Tensors that do not come from the argument are leaves: parameters, data that a
posterior holds, constants. They are kept by reference, so a record made at the start of a chain reads the parameters
as they are then.

A record is made for every chain, which costs a fraction of a millisecond, so nothing can be out of date. What cannot be
recorded faithfully is refused, and the caller goes back to autograd: values that steer the program (``if x.sum() > 0``
fails on a stand-in), random numbers, in-place changes, gradients that are cut or altered on the way, autocast.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from absynth.types import LogDensity


class Refused(Exception):
    """Why a log density cannot be traced, in words that end up in the one line that the user sees."""


class Ref(NamedTuple):
    """The result of a recorded call; number 0 is the argument itself."""

    index: int
    shape: torch.Size
    dtype: torch.dtype


@dataclass(frozen=True)
class Call:
    """One call of a torch function; its arguments are ``Ref``s, leaves (tensors) and plain numbers."""

    func: Callable
    args: tuple
    kwargs: dict[str, Any]
    out: Ref


@dataclass(frozen=True)
class Trace:
    """A log density as a list of calls, of which only those that the value depends on are kept."""

    x: Ref
    calls: list[Call]
    out: Ref

    def leaves(self) -> list[Tensor]:
        """Every tensor that goes in beside x, each once, in order of use."""
        found: dict[int, Tensor] = {}
        for call in self.calls:
            for t in flat((call.args, call.kwargs)):
                if isinstance(t, Tensor):
                    found.setdefault(id(t), t)
        return list(found.values())

    def signature(self) -> tuple:
        """Equal for two records that differ only in the values of their leaves."""
        number = {id(t): i for i, t in enumerate(self.leaves())}

        def key(a: Any) -> Any:
            if isinstance(a, Ref):
                return ("ref", a.index)
            if isinstance(a, Tensor):
                return ("leaf", number[id(a)], tuple(a.shape), a.stride(), a.dtype, str(a.device))
            if isinstance(a, (tuple, list)):
                return tuple(map(key, a))
            if isinstance(a, dict):
                return tuple((k, key(v)) for k, v in a.items())
            return (type(a), repr(a))

        return (
            tuple(self.x.shape),
            self.x.dtype,
            tuple((call.func, call.out.index, key(call.args), key(call.kwargs)) for call in self.calls),
        )

    def on(self, leaves: list[Tensor]) -> Trace:
        """The same record with other leaves."""
        stand_for = {id(old): new for old, new in zip(self.leaves(), leaves)}

        def value(a: Any) -> Any:
            return stand_for[id(a)] if isinstance(a, Tensor) else a

        calls = [Call(c.func, replaced(c.args, value), replaced(c.kwargs, value), c.out) for c in self.calls]
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
            args = replaced(call.args, value)
            results[call.out.index] = call.func(*args, **replaced(call.kwargs, value))
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
    return items if isinstance(a, list) else type(a)(*items) if hasattr(a, "_fields") else tuple(items)


# fmt: off
_RANDOM = frozenset(
    ["alpha_dropout", "bernoulli", "binomial", "dropout", "dropout1d", "dropout2d", "dropout3d",
     "feature_alpha_dropout", "feature_dropout", "fractional_max_pool2d", "fractional_max_pool3d",
     "gumbel_softmax", "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like",
     "randn", "randn_like", "randperm", "rrelu", "scaled_dot_product_attention"]
)
# fmt: on
# Functions that look at their tensor's shape, type and device alone: what they make is a constant.
_FORM_ONLY = frozenset(["new_full", "new_zeros", "new_ones", "zeros_like", "ones_like", "full_like", "to", "type_as"])


def trace(log_density: LogDensity, x: Tensor) -> Trace:
    """Record ``log_density`` at the shape, type and device of x.

    Raises:
        Refused: it cannot be recorded faithfully; the message says why.
    """
    with torch.inference_mode(False), torch.enable_grad():
        stand_in = torch.empty(x.shape, dtype=x.dtype, device="meta", requires_grad=True)
        recorder = _Recorder(stand_in, x.device)
        try:
            with warnings.catch_warnings(), recorder:
                warnings.simplefilter("ignore")  # they are due when the function runs for real
                out = log_density(stand_in)
        except Refused:
            raise
        except Exception as error:
            # Anything can go wrong in a user's function that meets a tensor without numbers. Autograd will run the same
            # function on a real tensor; if the fault is the user's own, it shows there.
            text = " ".join(str(error).split())
            raise Refused(f"{type(error).__name__}: {text[:120]}") from error
    result = recorder.refs.get(id(out))
    if result is None or not out.requires_grad:
        raise Refused("its value does not follow from its argument by functions that can be recorded")
    if result.shape != x.shape[:1]:
        raise Refused(f"it returns shape {list(result.shape)}")
    return Trace(recorder.x, recorder.needed(result), result)


class _Made(NamedTuple):
    """The form of a tensor that a call makes."""

    shape: torch.Size
    dtype: torch.dtype
    requires_grad: bool
    is_view: bool


_COUNTS = frozenset(["numel", "dim", "__len__"])
_FORMS: dict[Any, _Made | torch.Size | int] = {}


def _tensors(args: tuple, kwargs: dict[str, Any]) -> list[Tensor]:
    """Every tensor among a call's arguments. Most calls have nothing nested: they are looked at once."""
    found = []
    for a in args:
        if isinstance(a, Tensor):
            found.append(a)
        elif isinstance(a, (tuple, list, dict)):
            found += [t for t in flat(a) if isinstance(t, Tensor)]
    return found + [t for t in flat(kwargs) if isinstance(t, Tensor)] if kwargs else found


def _form(a: Any) -> Any:
    if isinstance(a, Tensor):
        return (a.shape, a.dtype, a.requires_grad)
    if isinstance(a, (tuple, list)):
        return (type(a), *[_form(b) for b in a])
    if isinstance(a, dict):
        return tuple((k, _form(v)) for k, v in a.items())
    if isinstance(a, slice):
        return (slice, a.start, a.stop, a.step)
    return (type(a), a)


class _Recorder(TorchFunctionMode):
    def __init__(self, stand_in: Tensor, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.x = Ref(0, stand_in.shape, stand_in.dtype)
        self.refs = {id(stand_in): self.x}
        self.calls: list[Call] = []
        self.used: list[set[int]] = []
        """The results that each call reads."""
        self.alive: list[Any] = [stand_in]  # an id must not be given out twice
        self.metas: dict[int, Tensor] = {}
        self.views: set[int] = set()

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors(args, kwargs)
        used = {self.refs[id(t)].index for t in tensors if id(t) in self.refs}
        if not used:
            return self._constant(func, args, kwargs, tensors)
        name = func.__name__
        if kwargs.get("out") is not None:
            raise Refused(f"{_name(func)} writes into a tensor that it is given")
        if name in _FORM_ONLY and not (id(tensors[0]) in self.refs and name == "to"):
            return func(*replaced(args, self._blank), **replaced(kwargs, self._blank))
        if name in _RANDOM and kwargs.get("training", True):
            raise Refused(f"{_name(func)} is random")
        if kwargs.get("inplace") is True:
            result, is_view = self._in_place(func, args[0]), False
        else:
            made = self._made(func, args, kwargs, tensors)
            if not isinstance(made, _Made):
                return made  # a shape, a type: what it says holds for the real tensor too
            result = torch.empty(made.shape, dtype=made.dtype, device="meta", requires_grad=made.requires_grad)
            is_view = made.is_view
        if not torch.is_grad_enabled() or (torch.is_floating_point(result) and not result.requires_grad):
            raise Refused(f"the gradient is cut at {_name(func)}")
        if torch.is_autocast_enabled(self.device.type):
            raise Refused("autocast is on")
        ref = Ref(len(self.calls) + 1, result.shape, result.dtype)
        self.used.append(used)
        self.calls.append(Call(func, replaced(args, self._recorded), replaced(kwargs, self._recorded), ref))
        self.refs[id(result)] = ref
        self.alive.append(result)
        if is_view:
            self.views.add(ref.index)
        return result

    def needed(self, out: Ref) -> list[Call]:
        """The calls that lead to ``out``."""
        wanted, kept = {out.index}, []
        for call, used in zip(reversed(self.calls), reversed(self.used)):
            if call.out.index in wanted:
                kept.append(call)
                wanted |= used
        return kept[::-1]

    def _made(self, func: Callable, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """What the call would return; the form of a tensor is slow to find and so is remembered between records."""
        try:
            key = (func, _form(args), _form(kwargs) if kwargs else None)
            hash(key)
        except TypeError:
            key = None
        if key in _FORMS:
            return _FORMS[key]
        before = [t._version if id(t) in self.refs else 0 for t in tensors]
        result = func(*replaced(args, self._meta), **replaced(kwargs, self._meta))
        if not any(isinstance(r, Tensor) for r in flat(result)):
            if key is not None and (isinstance(result, torch.Size) or func.__name__ in _COUNTS):
                _FORMS[key] = result  # follows from the form alone
            return result
        if not isinstance(result, Tensor):
            raise Refused(f"{_name(func)} returns several tensors")
        if any(id(t) in self.refs and t._version != v for t, v in zip(tensors, before)):
            raise Refused(f"{_name(func)} changes a tensor in place")
        made = _Made(result.shape, result.dtype, result.requires_grad, result._is_view() or id(result) in self.refs)
        if key is not None and torch.is_grad_enabled():
            if len(_FORMS) > 10_000:
                _FORMS.clear()
            _FORMS[key] = made
        return made

    def _in_place(self, func: Callable, old: Tensor) -> Tensor:
        """An activation written over its argument is harmless if nothing else has seen that argument."""
        ref = self.refs.get(id(old), self.x)
        if ref.index == 0 or any(ref.index in used for used in self.used) or ref.index in self.views:
            raise Refused(f"{_name(func)} changes a tensor in place")
        return old

    def _constant(self, func: Callable, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """What does not depend on x is computed now, once for the chain."""
        name = func.__name__
        if (name in _RANDOM and kwargs.get("training", True)) or kwargs.get("generator") is not None:
            raise Refused(f"{_name(func)} is random")
        before = [0 if t.is_inference() else t._version for t in tensors]
        result = func(*args, **kwargs)
        if any(not t.is_inference() and t._version != v for t, v in zip(tensors, before)):
            raise Refused(f"{_name(func)} changes a tensor in place")
        return result

    def _blank(self, a: Any) -> Any:
        if not isinstance(a, Tensor) or id(a) not in self.refs:
            return a
        return torch.empty((), dtype=a.dtype, device=self.device).expand(a.shape)

    def _meta(self, a: Any) -> Any:
        if not isinstance(a, Tensor):
            return torch.device("meta") if isinstance(a, torch.device) and a == self.device else a
        if id(a) in self.refs or a.device.type == "meta":
            return a
        if id(a) not in self.metas:
            self.metas[id(a)] = torch.empty_strided(a.shape, a.stride(), dtype=a.dtype, device="meta")
            self.alive.append(a)
        return self.metas[id(a)]

    def _recorded(self, a: Any) -> Any:
        return self.refs.get(id(a), a) if isinstance(a, Tensor) else a


def _name(func: Callable) -> str:
    return resolve_name(func) or getattr(func, "__name__", str(func))
