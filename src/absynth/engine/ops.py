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
aten = torch.ops.aten


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
            for home in (torch, torch.Tensor, F, torch._C._nn, torch.special):
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
    return g.expand(shape) if isinstance(g, Tensor) else like.new_full((), g).expand(shape)


def fitted(g: Gradient, shape: Size, to: Size) -> Gradient:
    """The gradient of an input of shape ``to`` that was broadcast to ``shape``."""
    if shape == to:
        return g
    if not isinstance(g, Tensor):
        return g * (math.prod(shape) / max(math.prod(to), 1))
    return g.expand(shape).sum_to_size(to)


def _is_ref(*values: Any) -> None:
    for value in values:
        if not isinstance(value, Ref):
            raise Refused("an argument that a rule needs to be traced is not")


# Reshaping --------------------------------------------------------------------------------------------------------


@dataclass
class Reshape(Op):
    """The same numbers in the same order, in another shape."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.shape)

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        return (g.expand(self.shape).reshape(self.inputs[0].shape) if isinstance(g, Tensor) else g,)


@rule("flatten", "reshape", "view", "unflatten", "squeeze", "unsqueeze", "contiguous")
def _reshape(x: Ref, *shape: Any, **named: Any) -> Op:
    _is_ref(x)
    return Reshape((x,))  # the recorded shape says all


@dataclass
class Expand(Op):
    """Broadcasting made explicit."""

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(self.shape)

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        x = self.inputs[0].shape
        return (fitted(g, self.shape, Size([1] * (len(self.shape) - len(x)) + list(x))),)


@rule("expand")
def _expand(x: Ref, *shape: Any) -> Op:
    _is_ref(x)
    return Expand((x,))


@dataclass
class Index(Op):
    """Plain indexing by integers, slices, None and dots."""

    index: Any

    def forward(self, x: Tensor) -> Tensor:
        return x[self.index]

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        (x,) = inputs
        out = torch.zeros_like(x)
        out[self.index] = g
        return (out,)

    keeps_inputs = True


@rule("__getitem__")
def _getitem(x: Ref, index: Any) -> Op:
    _is_ref(x)
    parts = index if isinstance(index, tuple) else (index,)
    if not all(p is None or p is Ellipsis or type(p) in (int, slice) for p in parts):
        raise Refused("it is indexed by a tensor or a list")
    return Index((x,), index)


@dataclass
class Join(Op):
    """Tensors stacked along a new dimension, or joined along an old one."""

    stack: bool
    dim: int

    def forward(self, *xs: Tensor) -> Tensor:
        return torch.stack(xs, self.dim) if self.stack else torch.cat(xs, self.dim)

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        if not isinstance(g, Tensor):
            return (g,) * len(self.inputs)
        shape = list(self.inputs[0].shape)
        dim = self.dim % (len(shape) + self.stack)
        sizes = [1 if self.stack else r.shape[dim] for r in self.inputs]
        wide = list(g.shape)
        wide[dim] = sum(sizes)
        parts = g.expand(wide).split(sizes, dim)
        return tuple(p.squeeze(dim) for p in parts) if self.stack else tuple(parts)


@rule("stack")
def _stack(tensors: Any, dim: int = 0) -> Op:
    _is_ref(*tensors)
    return Join(tuple(tensors), True, dim)


@rule("cat", "concat")
def _cat(tensors: Any, dim: int = 0) -> Op:
    _is_ref(*tensors)
    return Join(tuple(tensors), False, dim)


# Sums --------------------------------------------------------------------------------------------------------------


def _dims(x: Ref, dim: Any) -> tuple[int, ...]:
    if dim is None or dim == () or dim == []:
        return tuple(range(len(x.shape)))
    return tuple(d % len(x.shape) for d in ((dim,) if isinstance(dim, int) else dim))


def _opened(g: Gradient, dims: tuple[int, ...], keepdim: bool) -> Gradient:
    if isinstance(g, Tensor) and not keepdim:
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
        return (_opened(g if self.factor == 1.0 else g * self.factor, self.dims, self.keepdim),)


@rule("sum")
def _sum(x: Ref, dim: Any = None, keepdim: bool = False) -> Op:
    _is_ref(x)
    return Sum((x,), _dims(x, dim), keepdim)


@rule("mean")
def _mean(x: Ref, dim: Any = None, keepdim: bool = False) -> Op:
    _is_ref(x)
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
        return (weights if g == 1.0 else weights * _opened(g, self.dims, self.keepdim),)


@rule("logsumexp")
def _logsumexp(x: Ref, dim: Any, keepdim: bool = False) -> Op:
    _is_ref(x)
    return LogSumExp((x,), _dims(x, dim), keepdim)


# Arithmetic ----------------------------------------------------------------------------------------------------------


@dataclass
class Add(Op):
    """a + factor · b; either may be a constant."""

    a: Any
    b: Any
    factor: float

    def forward(self, *inputs: Tensor) -> Tensor:
        rest = iter(inputs)
        a = next(rest) if isinstance(self.a, Ref) else self.a
        b = next(rest) if isinstance(self.b, Ref) else self.b
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
    _is_ref(x)
    if not isinstance(exponent, (int, float)) or exponent == 0:
        raise Refused("an exponent is not a number")
    return Power((x,), float(exponent))


@rule("square")
def _square(x: Ref) -> Op:
    _is_ref(x)
    return Power((x,), 2.0)


@rule("div", "divide", "true_divide", "__truediv__")
def _div(a: Any, b: Any) -> Op:
    refs = _operands(a, b)
    if not (isinstance(a, Ref) and len(refs) == 1):
        raise Refused("it divides by something traced")
    return Scale(refs, b.reciprocal() if isinstance(b, Tensor) else 1.0 / b)


@rule("neg", "negative", "__neg__")
def _neg(x: Ref) -> Op:
    _is_ref(x)
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


# Functions of one entry ----------------------------------------------------------------------------------------------


@dataclass
class Pointwise(Op):
    """A function of each entry whose derivative follows from what came out."""

    name: str
    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]
    """(gradient, output or input) -> gradient."""
    fusible: tuple[str, list[Any]] | None = None
    """What oneDNN calls this function where it can follow a layer in one pass."""
    keeps_output = True

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        g = full(g, output.shape, output)
        return (self.derivative(g if g.dtype == output.dtype else g.to(output.dtype), output),)


@dataclass
class PointwiseOfInput(Pointwise):
    """One whose derivative needs what went in."""

    keeps_inputs = True
    keeps_output = False

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        return super().backward(g, inputs, inputs[0])


@rule("leaky_relu")
def _leaky_relu(input: Ref, negative_slope: float = 0.01, inplace: bool = False) -> Op:
    _is_ref(input)
    if negative_slope <= 0:
        raise Refused("a leaky ReLU's slope is not positive")  # its sign would not follow from its output
    return Pointwise(
        (input,),
        "leaky_relu",
        lambda x: F.leaky_relu(x, negative_slope),
        lambda g, y: aten.leaky_relu_backward(g, y, negative_slope, True),
        ("leaky_relu", [negative_slope]),
    )


@rule("relu")
def _relu(input: Ref, inplace: bool = False) -> Op:
    _is_ref(input)
    return Pointwise((input,), "relu", torch.relu, lambda g, y: aten.threshold_backward(g, y, 0), ("relu", []))


@rule("tanh")
def _tanh(input: Ref) -> Op:
    _is_ref(input)
    return Pointwise((input,), "tanh", torch.tanh, aten.tanh_backward)


@rule("sigmoid")
def _sigmoid(input: Ref) -> Op:
    _is_ref(input)
    return Pointwise((input,), "sigmoid", torch.sigmoid, aten.sigmoid_backward)


@rule("exp")
def _exp(input: Ref) -> Op:
    _is_ref(input)
    return Pointwise((input,), "exp", torch.exp, torch.mul)


@rule("silu")
def _silu(input: Ref, inplace: bool = False) -> Op:
    _is_ref(input)
    return PointwiseOfInput((input,), "silu", F.silu, aten.silu_backward)


@rule("gelu")
def _gelu(input: Ref, approximate: str = "none") -> Op:
    _is_ref(input)
    return PointwiseOfInput(
        (input,),
        "gelu",
        lambda x: F.gelu(x, approximate=approximate),
        lambda g, x: aten.gelu_backward(g, x, approximate=approximate),
    )


@rule("softplus")
def _softplus(input: Ref, beta: float = 1, threshold: float = 20) -> Op:
    _is_ref(input)
    return PointwiseOfInput(
        (input,),
        "softplus",
        lambda x: F.softplus(x, beta, threshold),
        lambda g, x: aten.softplus_backward(g, x, beta, threshold),
    )


@rule("elu")
def _elu(input: Ref, alpha: float = 1.0, inplace: bool = False) -> Op:
    _is_ref(input)
    return PointwiseOfInput(
        (input,), "elu", lambda x: F.elu(x, alpha), lambda g, x: aten.elu_backward(g, alpha, 1, 1, False, x)
    )


@rule("log")
def _log(input: Ref) -> Op:
    _is_ref(input)
    return PointwiseOfInput((input,), "log", torch.log, torch.div)


@rule("sin")
def _sin(input: Ref) -> Op:
    _is_ref(input)
    return PointwiseOfInput((input,), "sin", torch.sin, lambda g, x: g * x.cos())


@rule("cos")
def _cos(input: Ref) -> Op:
    _is_ref(input)
    return PointwiseOfInput((input,), "cos", torch.cos, lambda g, x: -g * x.sin())
