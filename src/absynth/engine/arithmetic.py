"""Sums, products, powers and masks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Size, Tensor

from absynth.engine.ops import Gradient, Op, fitted, rule, traced
from absynth.engine.trace import Ref, Refused


def _dims(x: Ref, dim: Any) -> tuple[int, ...]:
    if dim is None or dim == () or dim == []:
        return tuple(range(len(x.shape)))
    return tuple(d % len(x.shape) for d in ((dim,) if isinstance(dim, int) else dim))


def _opened(g: Gradient, shape: Size, dims: tuple[int, ...], keepdim: bool) -> Gradient:
    """The gradient of a sum of this shape, with the dimensions that were summed put back."""
    if isinstance(g, Tensor) and not keepdim:
        g = g.expand(shape)
        for d in sorted(dims):
            g = g.unsqueeze(d)
    return g


@dataclass
class Sum(Op):
    """The sum over some dimensions, times a factor (a mean's)."""

    dims: tuple[int, ...]
    keepdim: bool
    factor: float = 1.0

    def forward(self, x: Tensor) -> Tensor:
        total = x.sum(self.dims, self.keepdim)
        return total if self.factor == 1.0 else total * self.factor

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        return (_opened(g if self.factor == 1.0 else g * self.factor, self.shape, self.dims, self.keepdim),)


@rule("sum")
def _sum(x: Ref, dim: Any = None, keepdim: bool = False) -> Op:
    traced(x)
    return Sum((x,), _dims(x, dim), keepdim)


@rule("mean")
def _mean(x: Ref, dim: Any = None, keepdim: bool = False) -> Op:
    traced(x)
    dims = _dims(x, dim)
    return Sum((x,), dims, keepdim, 1 / math.prod(x.shape[d] for d in dims))


@dataclass
class LogSumExp(Op):
    """log Σ exp: mixtures."""

    dims: tuple[int, ...]
    keepdim: bool
    keeps_inputs = keeps_output = True

    def forward(self, x: Tensor) -> Tensor:
        return x.logsumexp(self.dims, self.keepdim)

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        wide = output if self.keepdim else output.reshape(
            [1 if d in self.dims else n for d, n in enumerate(self.inputs[0].shape)]
        )  # fmt: skip
        weights = (inputs[0] - wide).exp_()
        return (weights * _opened(g, self.shape, self.dims, self.keepdim),)


@rule("logsumexp")
def _logsumexp(x: Ref, dim: Any, keepdim: bool = False) -> Op:
    traced(x)
    return LogSumExp((x,), _dims(x, dim), keepdim)


@dataclass
class Add(Op):
    """a + factor · b; either may be a constant."""

    a: Any
    b: Any
    factor: float
    constant: Any = field(init=False, default=None)
    """The operand that is not traced, where there is one, as it is laid out."""

    def lay_out(self, *, channels_last: bool) -> None:
        self.constant = self.b if isinstance(self.a, Ref) else self.a
        if (
            channels_last
            and isinstance(self.constant, Tensor)
            and self.constant.shape == self.shape
            and len(self.shape) == 4
        ):
            self.constant = self.constant.contiguous(memory_format=torch.channels_last)

    def forward(self, *inputs: Tensor) -> Tensor:
        rest = iter(inputs)
        a = next(rest) if isinstance(self.a, Ref) else self.constant
        b = next(rest) if isinstance(self.b, Ref) else self.constant
        if self.factor == 1.0:
            return a + b
        return a - b if self.factor == -1.0 else a + self.factor * b

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        out = []
        if isinstance(self.a, Ref):
            out.append(fitted(g, self.shape, self.a.shape))
        if isinstance(self.b, Ref):
            out.append(fitted(g if self.factor == 1.0 else g * self.factor, self.shape, self.b.shape))
        return tuple(out)


def _operands(*values: Any) -> tuple[Ref, ...]:
    """The traced ones among operands."""
    for v in values:
        if not isinstance(v, (Ref, Tensor, int, float)):
            raise Refused(f"an operand is a {type(v).__name__}")
    refs = tuple(v for v in values if isinstance(v, Ref))
    if len({v.dtype for v in values if isinstance(v, Ref) or (isinstance(v, Tensor) and v.is_floating_point())}) != 1:
        raise Refused("operands are of different types")
    return refs


@rule("add", "__radd__")
def _add(a: Any, b: Any, *, alpha: float = 1) -> Op:
    refs = _operands(a, b)
    return Add(refs, a, b, float(alpha))


@rule("sub", "subtract")
def _sub(a: Any, b: Any, *, alpha: float = 1) -> Op:
    refs = _operands(a, b)
    return Add(refs, a, b, -float(alpha))


@rule("rsub", "__rsub__")
def _rsub(a: Any, b: Any) -> Op:
    return _sub(b, a)


@dataclass
class Scale(Op):
    """x times a constant: a number, or a tensor."""

    factor: Tensor | float

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        return (fitted(g * self.factor, self.shape, self.inputs[0].shape),)


@dataclass
class Multiply(Op):
    """a · b, both traced."""

    keeps_inputs = True

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        a, b = inputs
        return fitted(b * g, self.shape, a.shape), fitted(a * g, self.shape, b.shape)


@dataclass
class Power(Op):
    """x to a constant power."""

    exponent: float
    keeps_inputs = True

    def forward(self, x: Tensor) -> Tensor:
        return x.pow(self.exponent)

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        (x,) = inputs
        slope = x if self.exponent == 2 else x.pow(self.exponent - 1)
        return (slope * (g * self.exponent),)


@rule("mul", "multiply", "__rmul__")
def _mul(a: Any, b: Any) -> Op:
    refs = _operands(a, b)
    if len(refs) == 1:
        factor = b if isinstance(a, Ref) else a
        return Scale(refs, factor if isinstance(factor, Tensor) else float(factor))
    return Power(refs[:1], 2.0) if refs[0] == refs[1] else Multiply(refs)


@rule("pow", "__pow__")
def _pow(x: Ref, exponent: Any) -> Op:
    traced(x)
    if not isinstance(exponent, (int, float)) or exponent == 0:
        raise Refused("an exponent is not a number")
    return Power((x,), float(exponent))


@rule("square")
def _square(x: Ref) -> Op:
    traced(x)
    return Power((x,), 2.0)


@rule("div", "divide", "true_divide", "__truediv__")
def _div(a: Any, b: Any) -> Op:
    refs = _operands(a, b)
    if not (isinstance(a, Ref) and len(refs) == 1):
        raise Refused("it divides by something traced")
    return Scale(refs, b.reciprocal() if isinstance(b, Tensor) else 1.0 / b)


@rule("neg", "negative", "__neg__")
def _neg(x: Ref) -> Op:
    traced(x)
    return Scale((x,), -1.0)


@dataclass
class Where(Op):
    """Entry by entry a or b, by a constant mask: known entries of an observation."""

    mask: Tensor
    a: Any
    b: Any

    def forward(self, *inputs: Tensor) -> Tensor:
        rest = iter(inputs)
        a = next(rest) if isinstance(self.a, Ref) else self.a
        b = next(rest) if isinstance(self.b, Ref) else self.b
        return torch.where(self.mask, a, b)

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        mask, dtype = self.mask, self.inputs[0].dtype
        out = []
        for side, keep in ((self.a, mask), (self.b, ~mask)):
            if isinstance(side, Ref):
                out.append(fitted(keep.to(dtype) * g, self.shape, side.shape))
        return tuple(out)


@rule("where")
def _where(mask: Any, a: Any, b: Any) -> Op:
    if not isinstance(mask, Tensor):
        raise Refused("a mask depends on the argument")
    refs = _operands(a, b)
    return Where(refs, mask, a, b)
