"""Functions of one entry at a time: activations and their kin."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from absynth.engine.ops import Gradient, Op, full, rule, traced
from absynth.engine.trace import Ref, Refused

aten = torch.ops.aten


@dataclass
class Pointwise(Op):
    """A function of each entry whose derivative follows from what came out."""

    name: str
    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]
    """(gradient, output or input) -> gradient."""
    fusible: tuple[str, list[Any]] | None = None
    """What oneDNN calls this function where it can follow a layer in one pass."""
    over: Callable[[Tensor, Tensor], Tensor] | None = None
    """``derivative`` written over the gradient that it is given, where there is such a kernel."""
    keeps_output = True

    def in_place(self) -> Pointwise:
        """The same function, whose backward pass may write over its gradient."""
        if self.over is None:
            return self
        made = copy(self)
        made.derivative = self.over
        return made

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
    traced(input)
    if negative_slope <= 0:
        raise Refused("a leaky ReLU's slope is not positive")  # its sign would not follow from its output
    return Pointwise(
        (input,),
        "leaky_relu",
        lambda x: F.leaky_relu(x, negative_slope),
        lambda g, y: aten.leaky_relu_backward.default(g, y, negative_slope, True),
        ("leaky_relu", [negative_slope]),
        lambda g, y: aten.leaky_relu_backward.grad_input(g, y, negative_slope, True, grad_input=g),
    )


@rule("relu")
def _relu(input: Ref, inplace: bool = False) -> Op:
    traced(input)
    return Pointwise(
        (input,),
        "relu",
        torch.relu,
        lambda g, y: aten.threshold_backward.default(g, y, 0),
        ("relu", []),
        lambda g, y: aten.threshold_backward.grad_input(g, y, 0, grad_input=g),
    )


@rule("tanh")
def _tanh(input: Ref) -> Op:
    traced(input)
    return Pointwise(
        (input,),
        "tanh",
        torch.tanh,
        aten.tanh_backward.default,
        None,
        lambda g, y: aten.tanh_backward.grad_input(g, y, grad_input=g),
    )


@rule("sigmoid")
def _sigmoid(input: Ref) -> Op:
    traced(input)
    return Pointwise((input,), "sigmoid", torch.sigmoid, aten.sigmoid_backward.default)


@rule("exp")
def _exp(input: Ref) -> Op:
    traced(input)
    return Pointwise((input,), "exp", torch.exp, torch.mul)


@rule("silu")
def _silu(input: Ref, inplace: bool = False) -> Op:
    traced(input)
    return PointwiseOfInput((input,), "silu", F.silu, aten.silu_backward.default)


@rule("gelu")
def _gelu(input: Ref, approximate: str = "none") -> Op:
    traced(input)
    return PointwiseOfInput(
        (input,),
        "gelu",
        lambda x: F.gelu(x, approximate=approximate),
        lambda g, x: aten.gelu_backward.default(g, x, approximate=approximate),
    )


@rule("softplus")
def _softplus(input: Ref, beta: float = 1, threshold: float = 20) -> Op:
    traced(input)
    return PointwiseOfInput(
        (input,),
        "softplus",
        lambda x: F.softplus(x, beta, threshold),
        lambda g, x: aten.softplus_backward.default(g, x, beta, threshold),
    )


@rule("elu")
def _elu(input: Ref, alpha: float = 1.0, inplace: bool = False) -> Op:
    traced(input)
    return PointwiseOfInput(
        (input,), "elu", lambda x: F.elu(x, alpha), lambda g, x: aten.elu_backward.default(g, alpha, 1, 1, False, x)
    )


@rule("log")
def _log(input: Ref) -> Op:
    traced(input)
    return PointwiseOfInput((input,), "log", torch.log, torch.div)


@rule("sin")
def _sin(input: Ref) -> Op:
    traced(input)
    return PointwiseOfInput((input,), "sin", torch.sin, lambda g, x: g * x.cos())


@rule("cos")
def _cos(input: Ref) -> Op:
    traced(input)
    return PointwiseOfInput((input,), "cos", torch.cos, lambda g, x: -g * x.sin())
