"""A gradient graph as two Python functions: what is done once a chain, and what is done at every step.

Whatever does not depend on x is computed once a chain, with the parameters as they are then. Of the rest, linear and
convolutional layers with constant weights, and the gradients of convolutions, run as ``layers`` has them; a ReLU is
taken into the layer before it, and pointwise operations write over what nothing else reads.
"""

from __future__ import annotations

# The arguments of a graph's nodes have no types of their own.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# pyright: reportCallIssue=false, reportOperatorIssue=false, reportReturnType=false
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node

from absynth.engine.gradient import part_of
from absynth.engine.layers import LAST, Convolution, How, Run, linear
from absynth.engine.minimal import Minimal
from absynth.engine.record import words

aten = torch.ops.aten

BACKWARD = words(
    "leaky_relu_backward threshold_backward tanh_backward sigmoid_backward silu_backward gelu_backward "
    "softplus_backward elu_backward"
)
POINTWISE = BACKWARD + words(
    "add sub mul div where tanh sigmoid relu leaky_relu silu gelu softplus elu exp log sin cos neg pow abs sqrt"
)
VIEWS = words("reshape expand unsqueeze squeeze t transpose permute select slice split getitem")
_IN_ORDER = {
    aten.as_strided.default, aten.as_strided_scatter.default, aten.native_group_norm.default,
    aten.native_group_norm_backward.default, aten.native_layer_norm.default, aten.native_layer_norm_backward.default,
    aten.native_batch_norm_backward.default,
}  # fmt: skip
"""Operations that read the memory of their arguments in its plain order."""
_OVER = {
    aten.leaky_relu_backward.default: aten.leaky_relu_backward.grad_input,
    aten.threshold_backward.default: aten.threshold_backward.grad_input,
    aten.tanh_backward.default: aten.tanh_backward.grad_input,
    aten.sigmoid_backward.default: aten.sigmoid_backward.grad_input,
    aten.mul.Tensor: Tensor.mul_, aten.add.Tensor: Tensor.add_, aten.sub.Tensor: Tensor.sub_,
}  # fmt: skip
"""Operations in the form that writes over the first argument; derivatives want it named, as ``grad_input``, too."""
_QUICK = {aten.add.Tensor: torch.add, aten.sub.Tensor: torch.sub, aten.mul.Tensor: torch.mul}
"""The same by a shorter way through Python."""


@dataclass
class Program:
    """``start(*leaves)`` makes the constants of a chain, ``step(x, *constants)`` the results at one x."""

    start: Callable[..., tuple]
    step: Callable[..., Any]


def program(graph: Graph, which: slice, how: How) -> Program:
    """The functions for some outputs of a gradient graph, ``(log density, gradient)[which]``."""
    return _Lowering(graph, which, how).made()


class _Lowering:
    """One pass over the nodes that the outputs need."""

    def __init__(self, graph: Graph, which: slice, how: How) -> None:
        self.how = how
        self.graph = part_of(graph, which)
        self.inputs = [n for n in self.graph.nodes if n.op == "placeholder"]
        self.last = how.dtype != torch.float64 and any(n.target in _CONVOLUTIONS for n in self.graph.nodes)
        self.fresh: set[Node] = set()
        """Tensors of their own, which the next operation may write over if it is the only one that reads them."""
        self.start = Writer(self.inputs[1:])
        self.step = Writer([self.inputs[0]])
        self.skipped: set[Node] = set()
        self.minimal: dict[Any, Node] = {}

    def made(self) -> Program:
        for node in list(self.graph.nodes):
            if node.op == "output":
                outputs = [self._input(n) for n in node.args[0]]
            elif node.op == "call_function" and node not in self.skipped:
                if node.meta["moves"]:
                    self._moving(node)
                else:
                    self.start.call(node, *_safe(node.target, node.args), node.kwargs)
        constants = [n for n in self.step.given if n is not self.inputs[0]]
        start = self.start.function([self.start.names[n] for n in constants])
        return Program(start, self.step.function(outputs))

    # --- one node ---

    def _moving(self, node: Node) -> None:
        to, name = node.target, getattr(node.target, "_opname", "getitem")
        if to in (aten.mm.default, aten.addmm.default) and self._linear(node):
            return
        if to in _CONVOLUTIONS and self._convolution(node):
            return
        args, kwargs = torch.fx.node.map_aggregate((node.args, node.kwargs), self._input)
        first = node.args[0] if node.args else None
        if name in POINTWISE:
            over = to in _OVER and first in self.fresh and self._is_done(first, node)
            if self.how.casts and name in BACKWARD:
                self.step.call(node, _of_one_type, (to, _OVER[to] if over else None, *args), kwargs)
            elif over and not self.how.casts:
                self.step.call(node, _OVER[to], args, {**kwargs, "grad_input": args[0]} if name in BACKWARD else kwargs)
            else:
                self.step.call(node, _QUICK.get(to, to), args, kwargs)
            self.fresh.add(node)
            return
        if self.how.casts and name not in VIEWS:
            self.step.call(node, _restored, (to, *args), kwargs)
        else:
            self.step.call(node, *_safe(_QUICK.get(to, to), args), kwargs)

    def _is_done(self, t: Any, node: Node) -> bool:
        """Whether ``node`` alone reads t, which has its shape and type."""
        same = isinstance(t, Node) and (t.meta["shape"], t.meta["dtype"]) == (node.meta["shape"], node.meta["dtype"])
        return same and len(t.users) == 1 and node.args.count(t) == 1

    def _input(self, a: Any) -> Any:
        """A result of this step, or of the start, in the memory order of the maps that it meets."""
        if not isinstance(a, Node) or a in self.step.names:
            return a
        if not a.meta.get("moves", True) and self.last and len(a.meta.get("shape", ())) in LAST:
            laid = self.graph.call_function(_laid_out, (a,))
            self.start.call(laid, _laid_out, (a,), {})
            self.start.names[a] = self.start.names[laid]
        return self.step.take(a)

    def _activation(self, node: Node) -> tuple[Node, Any]:
        """The node whose result a layer computes, and the function that it applies after itself."""
        if self.how.packed and len(node.users) == 1:
            (user,) = node.users
            if user.target is aten.relu.default:
                return user, ("relu", [])
            if user.target is aten.leaky_relu.default:
                return user, ("leaky_relu", [user.args[1] if len(user.args) > 1 else 0.01])
        return node, None

    def _linear(self, node: Node) -> bool:
        bias, x, weight = node.args if node.target is aten.addmm.default else (None, *node.args)
        fixed = not weight.meta["moves"] and (bias is None or (not bias.meta["moves"] and len(bias.meta["shape"]) == 1))
        if not fixed or node.kwargs:
            return False
        rows = x.meta["shape"][0]
        wide = min(weight.meta["shape"]) > 1 and rows > 1
        if not (self.how.packed and wide) and not self.how.casts:
            return False
        out, after = self._activation(node) if wide else (node, None)
        self._layer(out, node, linear, (self.how, weight, bias, rows, after), x)
        return True

    def _convolution(self, node: Node) -> bool:
        made = _forward(node) if node.target is aten.convolution.default else _backward(node)
        if made is None:
            return False
        layer, x, weight, bias, out = made
        for extra in node.users if out is not node else ():
            self.skipped.add(extra)
        out, after = self._activation(out)
        layer = replace(layer, activation=after)
        args = (layer, self.how, weight, bias, self._minimal(layer, weight))
        self._layer(out, node, Convolution.ready, args, x)
        return True

    def _minimal(self, layer: Convolution, weight: Node) -> Node | None:
        """The sums of taps of a layer that needs them; a convolution and its gradient share theirs."""
        if not self.how.packed or not layer.halves():
            return None
        key = weight, layer.narrow()
        if key not in self.minimal:
            self.minimal[key] = self.graph.call_function(Minimal)
            b, _, h, w = layer.narrow()
            self.start.call(self.minimal[key], Minimal, (weight, b, h, w, self.how.dtype), {})
        return self.minimal[key]

    def _layer(self, out: Node, node: Node, make: Callable[..., Run], args: tuple, x: Node) -> None:
        """``out`` is what a layer, made ready at the start, does to x."""
        run = self.graph.call_function(make)
        self.start.call(run, make, args, {})
        self.step.call(out, self.step.take(run), (self._input(x),), {})
        self.fresh.add(out)
        self.skipped |= {node, out}


_CONVOLUTIONS = {aten.convolution.default, aten.convolution_backward.default}
Made = tuple[Convolution, Node, Node, Node | None, Node]


def _forward(node: Node) -> Made | None:
    x, weight, bias, stride, padding, dilation, transposed, over, groups = node.args
    if weight.meta["moves"] or (bias is not None and bias.meta["moves"]):
        return None
    numbers = tuple(stride), tuple(padding), tuple(dilation), groups, tuple(over)
    shapes = tuple(x.meta["shape"]), tuple(node.meta["shape"]), tuple(weight.meta["shape"])
    return Convolution(transposed, *_wide(numbers, len(shapes[0]) - 2), *shapes), x, weight, bias, node


def _backward(node: Node) -> Made | None:
    """The gradient by the input alone."""
    g, x, weight, _, stride, padding, dilation, transposed, _, groups, _ = node.args
    out = next(iter(node.users))
    if weight.meta["moves"] or len(node.users) != 1 or out.args[1] != 0:
        return None
    after, before, taps = (tuple(n.meta["shape"]) for n in (x, g, weight))
    numbers = _wide((tuple(stride), tuple(padding), tuple(dilation), groups, (0,)), len(after) - 2)
    # The sizes that a transposed convolution cannot tell from its input: rows that the stride left over.
    over = tuple(
        n - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, m, s, p, d, k in zip(after[2:], before[2:], *numbers[:3], taps[2:])
    )
    return Convolution(not transposed, *numbers[:4], over, before, after, taps), g, weight, None, out


def _wide(numbers: tuple, d: int) -> tuple:
    """One number for each of d sides."""
    return tuple(n * d if isinstance(n, tuple) and len(n) == 1 else n for n in numbers)


# --- what the functions call -----------------------------------------------------------------------------------------


def _safe(to: Any, args: tuple) -> tuple[Any, tuple]:
    """An operation and its arguments; one that looks at memory finds it in its plain order."""
    return (_in_order, (to, *args)) if to in _IN_ORDER else (to, args)


def _laid_out(t: Tensor) -> Tensor:
    return t.contiguous(memory_format=LAST[t.ndim]) if t.is_floating_point() and 0 not in t.stride()[1:] else t


def _in_order(to: Callable, *args: Any, **kwargs: Any) -> Any:
    return to(*[a.contiguous() if isinstance(a, Tensor) else a for a in args], **kwargs)


def _of_one_type(to: Callable, over: Callable | None, *args: Any, **kwargs: Any) -> Any:
    """A derivative in the type of what it belongs to, which is the last tensor."""
    dtype = [a for a in args if isinstance(a, Tensor)][-1].dtype
    if over is not None and args[0].dtype == dtype:
        return over(*args, **kwargs, grad_input=args[0])
    return to(*[a.to(dtype) if isinstance(a, Tensor) else a for a in args], **kwargs)


def _restored(to: Callable, *args: Any, **kwargs: Any) -> Any:
    """An operation on the types that it was recorded with."""

    def value(a: Any) -> Any:
        return a.float() if isinstance(a, Tensor) and a.dtype == torch.bfloat16 else a

    return to(*torch.fx.node.map_aggregate(args, value), **kwargs)


# --- writing Python --------------------------------------------------------------------------------------------------


_NAMES = re.compile(r"\b[tag]\d+\b")


class _Name(str):
    """A name in the function that is written."""


class Writer:
    """A straight-line Python function, line by line."""

    def __init__(self, inputs: list[Node]) -> None:
        self.names: dict[Node, _Name] = {}
        self.given: list[Node] = []
        self.globals: dict[str, Any] = {}
        self.ids: dict[int, _Name] = {}
        self.lines: list[Any] = []
        for n in inputs:
            self.take(n)

    def take(self, n: Node) -> _Name:
        """An argument of the function."""
        if n not in self.names:
            self.names[n] = _Name(f"a{len(self.given)}")
            self.given.append(n)
        return self.names[n]

    def constant(self, a: Any) -> _Name:
        """Anything that has no name of its own in Python."""
        if id(a) not in self.ids:
            self.ids[id(a)] = _Name(f"g{len(self.ids)}")
            self.globals[self.ids[id(a)]] = a
        return self.ids[id(a)]

    def call(self, out: Node, to: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """out = to(*args, **kwargs)."""
        written = [self._write(a) for a in args] + [f"{k}={self._write(a)}" for k, a in kwargs.items()]
        name = _Name(f"t{len(self.lines)}")
        if to is operator.getitem:
            self.lines.append(f"{name} = {written[0]}[{written[1]}]")
        else:
            to = to if isinstance(to, _Name) else self.constant(to)
            self.lines.append(f"{name} = {to}({', '.join(written)})")
        self.names[out] = name

    def _write(self, a: Any) -> str:
        if isinstance(a, _Name):
            return a
        if isinstance(a, Node):
            return self.names[a]
        if isinstance(a, (list, tuple)):
            items = ", ".join(map(self._write, a))
            return f"[{items}]" if isinstance(a, list) else f"({items}{',' if a else ''})"
        finite = isinstance(a, (int, str)) or a is None or (isinstance(a, float) and abs(a) < float("inf"))
        return repr(a) if finite else self.constant(a)

    def function(self, outputs: list[Any]) -> Callable[..., Any]:
        """The function of the arguments that were taken; a name is forgotten after its last use."""
        lines = [f"    return {self._write(tuple(outputs))}"]
        seen = set(_NAMES.findall(lines[0]))
        for line in reversed(self.lines):
            name = line.split(" = ", 1)[0]
            words = set(_NAMES.findall(line)) - {name}
            gone = sorted(w for w in words - seen if w[0] in "ta")
            seen |= words
            lines.append(f"    {line}" + (f"; del {', '.join(gone)}" if gone else ""))
        arguments = ", ".join(f"a{i}" for i in range(len(self.given)))
        exec("\n".join([f"def made({arguments}):", *lines[::-1]]), self.globals)
        return self.globals["made"]
