"""What a log density does to its argument, recorded without doing it.

The log density is called once on a stand-in that has a shape but no numbers, while every torch function that it calls
is written down. Tensors that do not come from the argument are leaves: parameters, data that a posterior holds,
constants. They are kept by reference, so a record made at the start of a chain reads the parameters as they are then.

A record is made for every chain, which costs a fraction of a millisecond, so nothing can be out of date. The shapes of
results are remembered by function and argument shapes; a function that was never met before is run once on real
numbers. What cannot be recorded faithfully is refused, and the caller goes back to autograd: values that steer the
program (``if x.sum() > 0`` fails on a stand-in), shapes that depend on values, random numbers, hooks, autocast.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from absynth.engine.record import Call, Ref, Trace, flat, replaced, tensors_of, words
from absynth.types import LogDensity


class Refused(Exception):
    """Why a log density cannot be traced, in words that end up in the one line that the user sees."""


def in_words(error: BaseException) -> str:
    """The beginning of an error's message, in one line."""
    return " ".join(str(error).split())[:120]


_RANDOM = words(
    "alpha_dropout bernoulli bernoulli_ binomial cauchy_ dropout dropout1d dropout2d dropout3d exponential_ "
    "feature_alpha_dropout feature_dropout fractional_max_pool2d fractional_max_pool3d geometric_ gumbel_softmax "
    "log_normal_ multinomial normal normal_ poisson rand rand_like randint randint_like randn randn_like random_ "
    "randperm rrelu uniform_"
)
# Functions that look at their tensor's shape, type and device alone: what they make is a constant.
_FORM_ONLY = words("new_full new_zeros new_ones zeros_like ones_like full_like to type_as")
# Functions that return no tensor, and can tell what they do from a stand-in.
_PLAIN = words("dim element_size is_complex is_floating_point ndimension nelement numel size __len__")
_OF_SHAPES_UNKNOWN = words("argwhere bincount masked_select nonzero unique unique_consecutive")
_IN_PLACE = words("__setitem__ __iadd__ __isub__ __imul__ __itruediv__ __ipow__ __iand__ __ior__")


def trace(log_density: LogDensity, x: Tensor) -> Trace:
    """Record ``log_density`` at the shape, type and device of x.

    Raises:
        Refused: it cannot be recorded faithfully; the message says why.
    """
    try:
        return _trace(log_density, x, None)
    except _Unknown:
        with torch.inference_mode(False):
            x = x.clone() if x.is_inference() else x.detach()
            return _trace(log_density, x, x.requires_grad_())


def _trace(log_density: LogDensity, x: Tensor, real: Tensor | None) -> Trace:
    with torch.inference_mode(False), torch.enable_grad():
        stand_in = torch.empty(x.shape, dtype=x.dtype, device="meta", requires_grad=True)
        recorder = _Recorder(stand_in, x.device, real)
        try:
            with warnings.catch_warnings(), recorder:
                warnings.simplefilter("ignore")  # they are due when the function runs for real
                out = log_density(stand_in)
        except Refused:
            raise
        except Exception as error:
            # Anything can go wrong in a user's function that meets a tensor without numbers. Autograd will run the same
            # function on a real tensor; if the fault is the user's own, it shows there.
            raise Refused(f"{type(error).__name__}: {in_words(error)}") from error
    result = recorder.refs.get(id(out))
    if result is None or not out.requires_grad:
        raise Refused("its value does not follow from its argument by functions that can be recorded")
    if result.shape != x.shape[:1]:
        raise Refused(f"it returns shape {list(result.shape)}")
    return Trace(recorder.x, recorder.needed(result), result)


class _Unknown(BaseException):
    """A function that was never met at these shapes; no handler of a user's function may take it for an error."""


@dataclass(frozen=True, slots=True)
class _Made:
    """The form of a tensor that a call makes."""

    shape: torch.Size
    dtype: torch.dtype
    requires_grad: bool


@dataclass(frozen=True, slots=True)
class _Changed:
    """The form of a first argument that a call has changed in place, and whether the call returns it."""

    made: _Made
    returned: bool


_FORMS: dict[Any, Any] = {}
"""What calls return, with a ``_Made`` in place of every tensor, by function and forms of arguments."""


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


def _version(t: Tensor) -> int:
    return 0 if t.is_inference() else t._version


class _Recorder(TorchFunctionMode):
    def __init__(self, stand_in: Tensor, device: torch.device, real: Tensor | None) -> None:
        super().__init__()
        self.device = device
        self.x = Ref(0, stand_in.shape, stand_in.dtype)
        self.refs = {id(stand_in): self.x}
        self.needs = [True]
        """By number, whether a result requires a gradient."""
        self.calls: list[Call] = []
        self.used: list[set[int]] = []
        """The results that each call reads."""
        self.alive: list[Any] = [stand_in]  # an id must not be given out twice
        self.real = None if real is None else {id(stand_in): real}
        """Results in numbers, where unknown functions may be run."""
        self.fresh: set[int] = set()
        """Constants that were made here, which may be filled in place."""
        self.changes = False

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = tensors_of(args, kwargs)
        used = {self.refs[id(t)].index for t in tensors if id(t) in self.refs}
        name = func.__name__
        if (name in _RANDOM and kwargs.get("training", True)) or kwargs.get("generator") is not None:
            raise Refused(f"{_name(func)} is random")
        if name == "scaled_dot_product_attention" and (kwargs.get("dropout_p") or (len(args) > 4 and args[4])):
            raise Refused(f"{_name(func)} is random")
        if not used:
            return self._constant(func, args, kwargs, tensors)
        if name in _PLAIN:
            return func(*args, **kwargs)
        if name == "__get__":
            value = func(*args, **kwargs)
            if not isinstance(value, Tensor):
                return self.device if isinstance(value, torch.device) else value
        if name in _FORM_ONLY and not (id(tensors[0]) in self.refs and name == "to"):
            filled = func(*replaced(args, self._blank), **replaced(kwargs, self._blank))
            self.fresh.add(id(filled))
            self.alive.append(filled)
            return filled
        self._check(func, name, args, kwargs, tensors)
        made = self._made(func, args, kwargs, tensors)
        if isinstance(made, _Changed):
            self.changes = True
            if made.made.requires_grad and not args[0].requires_grad:
                args[0].requires_grad_()
                self.needs[self.refs[id(args[0])].index] = True
            self._write(func, args, kwargs, self.refs[id(args[0])] if made.returned else None, used)
            return args[0] if made.returned else None
        if not any(isinstance(m, _Made) for m in flat(made)):
            return made
        result = replaced(made, self._stand_in)
        self._write(func, args, kwargs, replaced(result, self._recorded), used)
        return result

    def _check(self, func: Callable, name: str, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
        if kwargs.get("out") is not None:
            raise Refused(f"{_name(func)} writes into a tensor that it is given")
        if "hook" in name or name == "backward":
            raise Refused("it sets a hook")
        masks = name == "__getitem__" and any(t.dtype == torch.bool for t in tensors[1:])
        masks |= name == "repeat_interleave" and len(tensors) > 1
        if name in _OF_SHAPES_UNKNOWN or masks or (name == "where" and len(args) == 1):
            raise Refused(f"the shape of {_name(func)} depends on values")
        given = args and isinstance(args[0], Tensor) and id(args[0]) not in self.refs
        writes = name in _IN_PLACE or (name.endswith("_") and not name.endswith("__"))
        learns = name in ("batch_norm", "instance_norm") and any(isinstance(a, Tensor) for a in args[1:3])
        if (given and writes) or (learns and (kwargs.get("training") or kwargs.get("use_input_stats"))):
            raise Refused(f"{_name(func)} changes a tensor in place")
        if torch.is_autocast_enabled(self.device.type):
            raise Refused("autocast is on")
        if torch.is_inference_mode_enabled():
            raise Refused("inference mode is on")
        for t in tensors:
            if id(t) in self.refs and t.requires_grad != self.needs[self.refs[id(t)].index]:
                raise Refused("a function of its own changes the gradient")

    def _write(self, func: Callable, args: Any, kwargs: Any, out: Any, used: set[int]) -> None:
        args, kwargs = replaced(args, self._recorded), replaced(kwargs, self._recorded)
        self.used.append(used)
        self.calls.append(Call(func, args, kwargs, out, torch.is_grad_enabled()))
        self.alive.append((args, kwargs))

    def _stand_in(self, made: Any) -> Any:
        if not isinstance(made, _Made):
            return made
        t = torch.empty(made.shape, dtype=made.dtype, device="meta", requires_grad=made.requires_grad)
        self.refs[id(t)] = Ref(len(self.needs), made.shape, made.dtype)
        self.needs.append(made.requires_grad)
        self.alive.append(t)
        if self.real is not None:
            self.real[id(t)] = next(self.results)
        return t

    def needed(self, out: Ref) -> list[Call]:
        """The calls that lead to ``out``: all, where some change what others have made."""
        if self.changes:
            return self.calls
        wanted, kept = {out.index}, []
        for call, used in zip(reversed(self.calls), reversed(self.used)):
            if any(isinstance(r, Ref) and r.index in wanted for r in flat(call.out)):
                kept.append(call)
                wanted |= used
        return kept[::-1]

    def _made(self, func: Callable, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """What the call would return; found in numbers the first time, and remembered between records."""
        try:
            key = (func, torch.is_grad_enabled(), _form(args), _form(kwargs) if kwargs else None)
            hash(key)
        except TypeError:
            key = None
        if self.real is None:
            if key in _FORMS:
                return _FORMS[key]
            raise _Unknown
        before = [_version(self.real.get(id(t), t)) for t in tensors]
        result = func(*replaced(args, self._number), **replaced(kwargs, self._number))
        changed = [t for t, v in zip(tensors, before) if _version(self.real.get(id(t), t)) != v]
        if changed:
            first = self.real.get(id(args[0]))
            place = first is not None and first.untyped_storage().data_ptr()
            shared = all(self._number(t).untyped_storage().data_ptr() == place for t in changed)
            if first is None or not shared or (result is not None and result is not first):
                raise Refused(f"{_name(func)} changes a tensor in place")
            made: Any = _Changed(_Made(first.shape, first.dtype, first.requires_grad), result is not None)
        else:
            self.results = (t for t in flat(result) if isinstance(t, Tensor))
            made = replaced(result, lambda t: _Made(t.shape, t.dtype, t.requires_grad) if isinstance(t, Tensor) else t)
            if not any(isinstance(t, Tensor) for t in flat(result)):
                return func(*args, **kwargs)  # what a stand-in can tell holds for other numbers too
        if key is not None:
            if len(_FORMS) > 10_000:
                _FORMS.clear()
            _FORMS[key] = made
        return made

    def _constant(self, func: Callable, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """What does not depend on x is computed now, once for the chain."""
        before = [_version(t) for t in tensors]
        result = func(*args, **kwargs)
        seen: set[int] | None = None
        for t, v in zip(tensors, before):
            if _version(t) != v:
                seen = {id(a) for c in self.calls for a in tensors_of(c.args, c.kwargs)} if seen is None else seen
                if id(t) not in self.fresh or id(t) in seen:
                    raise Refused(f"{_name(func)} changes a tensor in place")
        if isinstance(result, Tensor) and all(id(t) in self.fresh for t in tensors):
            self.fresh.add(id(result))
            self.alive.append(result)
        return result

    def _blank(self, a: Any) -> Any:
        if not isinstance(a, Tensor) or id(a) not in self.refs:
            return a
        return torch.empty((), dtype=a.dtype, device=self.device).expand(a.shape)

    def _number(self, a: Any) -> Any:
        return self.real.get(id(a), a) if isinstance(a, Tensor) else a  # type: ignore[union-attr]

    def _recorded(self, a: Any) -> Any:
        return self.refs.get(id(a), a) if isinstance(a, Tensor) else a


def _name(func: Callable) -> str:
    return resolve_name(func) or getattr(func, "__name__", str(func))
