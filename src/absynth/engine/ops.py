"""The derivative of each torch function that a plan may hold.

A gradient is a number where it is the same for every entry, or a tensor that broadcasts to the shape it belongs to: the
gradient of a batch's sum begins as the number 1, a squared residual turns it into a multiple of the residual, and
the last layer of an energy into one row of weights. So neither a scalar loss nor anything that only the loss would
need is computed.

``RULES`` finds the :class:`Op` of a recorded call by the function itself. A function, or an argument, that has no rule
here raises ``Refused``, and the whole log density goes to autograd.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Size, Tensor

from absynth.engine.trace import Call, Ref, Refused

Gradient = Tensor | float


@dataclass
class Op(ABC):
    """One step of a plan: a function of earlier results and its vector-Jacobian product."""

    inputs: tuple[Ref, ...]
    shape: Size = field(init=False)
    """The shape of what comes out, as recorded."""
    keeps_inputs: ClassVar[bool] = False
    """The backward pass reads what went in."""
    keeps_output: ClassVar[bool] = False
    """The backward pass reads what came out."""

    def lay_out(self, *, channels_last: bool) -> None:  # noqa: B027
        """Bring constant maps into the memory order of the maps that meet them, once a chain."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """The function."""
        raise NotImplementedError

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        """The gradient of each input. What the op does not keep is passed as None."""
        raise NotImplementedError


RULES: dict[Callable, Callable[..., Op]] = {}


def rule(*names: str) -> Callable[[Callable[..., Op]], Callable[..., Op]]:
    """Register a maker of an op, called as the torch function was, under every function that has one of these names."""

    def register(make: Callable[..., Op]) -> Callable[..., Op]:
        for name in names:
            for home in (torch, torch.Tensor, F, torch._C._nn, torch.special):  # type: ignore[attr-defined]
                if hasattr(home, name):
                    RULES[getattr(home, name)] = make
        return make

    return register


def op_of(call: Call) -> Op:
    """The op of a recorded call."""
    make = RULES.get(call.func)
    if make is None:
        raise Refused(f"there is no rule for {getattr(call.func, '__qualname__', call.func)}")
    try:
        op = make(*call.args, **call.kwargs)
    except (TypeError, AttributeError) as error:  # arguments in a form that the rule does not know
        raise Refused(f"there is no rule for {call.func.__name__} with these arguments") from error
    if any(r.dtype != call.out.dtype for r in op.inputs):
        raise Refused(f"{call.func.__name__} changes the type")
    op.shape = call.out.shape
    return op


def full(g: Gradient, shape: Size, like: Tensor) -> Tensor:
    """A gradient written out."""
    if isinstance(g, Tensor):
        return g if g.shape == shape else g.expand(shape)
    return like.new_full((), g).expand(shape)


def fitted(g: Gradient, shape: Size, to: Size) -> Gradient:
    """The gradient of an input of shape ``to`` that was broadcast to ``shape``."""
    if shape == to:
        return g
    if not isinstance(g, Tensor):
        return g * (math.prod(shape) / max(math.prod(to), 1))
    return g.expand(shape).sum_to_size(to)


def traced(*values: Any) -> None:
    """Refuse unless all of them are results of the record."""
    for value in values:
        if not isinstance(value, Ref):
            raise Refused("an argument that a rule needs to be traced is not")
