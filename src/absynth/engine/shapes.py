"""Reshaping, indexing and joining: ops that move numbers and change none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Size, Tensor

from absynth.engine.ops import Gradient, Op, fitted, rule, traced
from absynth.engine.trace import Ref, Refused


@dataclass
class Reshape(Op):
    """The same numbers in the same order, in another shape."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.shape)

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        return (g.expand(self.shape).reshape(self.inputs[0].shape) if isinstance(g, Tensor) else g,)


@rule("flatten", "reshape", "view", "unflatten", "squeeze", "unsqueeze", "contiguous")
def _reshape(x: Ref, *shape: Any, **named: Any) -> Op:
    traced(x)
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
    traced(x)
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
    traced(x)
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
        parts = g.expand(self.shape).split(sizes, dim)
        return tuple(p.squeeze(dim) for p in parts) if self.stack else tuple(parts)


@rule("stack")
def _stack(tensors: Any, dim: int = 0) -> Op:
    traced(*tensors)
    return Join(tuple(tensors), True, dim)


@rule("cat", "concat")
def _cat(tensors: Any, dim: int = 0) -> Op:
    traced(*tensors)
    return Join(tuple(tensors), False, dim)
