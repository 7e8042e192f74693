"""Linear and convolutional layers: where nearly all of a chain's arithmetic is.

Their gradient with respect to the input needs the weights alone, so nothing is kept for it. On a CPU in float32 the
layers run on oneDNN with weights reordered once a chain and activations in channels-last order, and a ReLU that
follows is applied in the same pass; other types and devices use torch's own layers. A transposed convolution of a 1×1
map, the first layer of most generators, is a matrix product and is run as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Size, Tensor

from absynth.engine.minimal import Minimal
from absynth.engine.ops import Gradient, Op, full, rule
from absynth.engine.trace import Ref, Refused

onednn = torch.ops.mkldnn
Run = Callable[[Tensor], Tensor]


@dataclass
class Affine(Op):
    """A layer with weights. ``prepare`` chooses how it runs, once a chain."""

    weight: Tensor
    bias: Tensor | None
    run: Run = field(init=False, repr=False)
    run_back: Run = field(init=False, repr=False)
    dtype: torch.dtype = field(init=False)
    channels_last: bool = field(init=False, default=False)

    @property
    def packs(self) -> bool:
        """Whether reordered weights serve at these shapes, and so an activation may run in the same pass."""
        return min(self.weight.shape[:2]) > 1

    @property
    def makes(self) -> bool:
        """Whether the gradient of its input is always new memory."""
        return True

    def prepare(self, dtype: torch.dtype, after: tuple[str, list[Any]] | None, packed: bool) -> None:
        """Reorder the weights as they are now, for computing in ``dtype``.

        Args:
            dtype: float64, float32 or bfloat16.
            after: a oneDNN name of an activation to apply in the same pass; only with ``packed``.
            packed: use oneDNN's reordered weights.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != self.dtype or self.channels_last:
            x = self._laid_out(x)
        return self.run(x)

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        g = full(g, self.shape, self.weight)
        if g.dtype != self.dtype or self.channels_last:
            g = self._laid_out(g)
        return (self.run_back(g),)

    def _laid_out(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x


def _matmul(weight: Tensor, bias: Tensor | None, after: tuple[str, list[Any]] | None, packed: bool, batch: int) -> Run:
    """x ↦ x Wᵀ + b, W ``[out, in]``, followed by the activation ``after``."""
    if not packed:
        return lambda x: F.linear(x, weight, bias)
    name, numbers = after or ("none", [])
    blocked = onednn._reorder_linear_weight(weight.contiguous(), batch)
    return lambda x: onednn._linear_pointwise.default(x, blocked, bias, name, numbers, "")


@dataclass
class Linear(Affine):
    """x Wᵀ + b."""

    @property
    def packs(self) -> bool:
        return super().packs and self.shape[:-1].numel() > 1

    @property
    def makes(self) -> bool:
        return len(self.weight) > 1

    def prepare(self, dtype: torch.dtype, after: tuple[str, list[Any]] | None, packed: bool) -> None:
        self.dtype = dtype
        weight, bias = _now(self.weight, dtype), _now(self.bias, dtype)
        batch = self.shape[:-1].numel()
        packed = packed and self.packs
        self.run = _matmul(weight, bias, after, packed, batch)
        self.run_back = _matmul(weight.t(), None, None, packed, batch)
        self.row = weight.sum(0, keepdim=True) if len(weight) == 1 else None

    def backward(self, g: Gradient, inputs: tuple[Any, ...], output: Any) -> tuple[Gradient, ...]:
        if self.row is None:
            return super().backward(g, inputs, output)
        # One output: the gradient is one row of weights, the same for all examples unless g differs between them.
        row = self.row.view([1] * (len(self.shape) - 1) + [-1])
        return (row if not isinstance(g, Tensor) and g == 1.0 else row * g,)


@rule("linear")
def _linear(input: Ref, weight: Tensor, bias: Tensor | None = None) -> Op:
    _leaves(input, weight, bias)
    return Linear((input,), weight, bias)


@rule("matmul", "mm", "__matmul__")
def _product(input: Ref, weight: Tensor) -> Op:
    _leaves(input, weight, None)
    if weight.ndim != 2 or len(input.shape) < 2:
        raise Refused("a product is not of rows with a matrix")
    return Linear((input,), weight.t(), None)


@rule("addmm")
def _addmm(bias: Tensor, input: Ref, weight: Tensor, *, beta: float = 1, alpha: float = 1) -> Op:
    if (beta, alpha) != (1, 1) or bias.ndim != 1:
        raise Refused("addmm with factors")
    _leaves(input, weight, bias)
    return Linear((input,), weight.t(), bias)


@dataclass
class Convolution(Affine):
    """A 2-D convolution, or a transposed one; the input gradient of each is the other with the same weights."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int
    transposed: bool
    output_padding: list[int]

    def prepare(self, dtype: torch.dtype, after: tuple[str, list[Any]] | None, packed: bool) -> None:
        self.dtype = dtype
        weight, bias = _now(self.weight, dtype), _now(self.bias, dtype)
        x = self.inputs[0].shape
        # float64 is for tests and for small problems: there the ops are autograd's own, in the order of its memory.
        self.channels_last = dtype != torch.float64
        if packed and self._halves():
            self._in_fewer_products(bias, after)
        elif self.transposed:
            self.run = self._transposed(weight, bias, self.output_padding, after, packed)
            self.run_back = self._plain(weight, None, None, packed, self.shape)
        else:
            # The sizes that a transposed convolution cannot tell from its input: rows that the stride left over.
            over = [
                n - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
                for n, m, s, p, d, k in zip(
                    x[2:], self.shape[2:], self.stride, self.padding, self.dilation, weight.shape[2:]
                )
            ]
            self.run = self._plain(weight, bias, after, packed, x)
            self.run_back = self._transposed(weight, None, over, None, packed)

    def _halves(self) -> bool:
        """Whether it is between many small maps of many channels and maps of twice the sides, by 4×4 taps."""
        narrow, wide = (self.inputs[0].shape, self.shape)[:: 1 if self.transposed else -1]
        return (
            (self.stride, self.padding, self.dilation, self.groups) == ([2, 2], [1, 1], [1, 1], 1)
            and self.weight.shape[2:] == (4, 4)
            and wide[2:] == (2 * narrow[2], 2 * narrow[3])
            and narrow[2] % 2 == narrow[3] % 2 == 0
            and narrow[2:].numel() <= _FEW_ROWS
            and narrow[0] * narrow[2:].numel() >= 4 * _MANY_TILES
            and min(self.weight.shape[:2]) >= _MANY_CHANNELS
        )

    def _in_fewer_products(self, bias: Tensor | None, after: tuple[str, list[Any]] | None) -> None:
        b, _, h, w = self.inputs[0].shape if self.transposed else self.shape
        both = Minimal(self.weight.detach(), b, h, w, self.dtype)
        there, back = (both.widen, both.narrow) if self.transposed else (both.narrow, both.widen)
        act = _ACTIVATIONS[after[0]] if after else None
        numbers = after[1] if after else []
        self.run = lambda x: there(x, bias) if act is None else act(there(x, bias), *numbers, inplace=True)
        self.run_back = lambda g: back(g, None)

    def _plain(
        self, weight: Tensor, bias: Tensor | None, after: tuple[str, list[Any]] | None, packed: bool, size: Size
    ) -> Run:
        how = self.padding, self.stride, self.dilation, self.groups
        if not packed:
            weight = self._ordered(weight)
            return lambda x: F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)  # type: ignore[arg-type]
        name, numbers = after or ("none", [])
        blocked = onednn._reorder_convolution_weight(self._ordered(weight), *how, list(size))
        return lambda x: onednn._convolution_pointwise.default(x, blocked, bias, *how, name, numbers, "")

    def _transposed(
        self,
        weight: Tensor,
        bias: Tensor | None,
        over: list[int],
        after: tuple[str, list[Any]] | None,
        packed: bool,
    ) -> Run:
        if not packed:
            weight = self._ordered(weight)
            return lambda x: F.conv_transpose2d(
                x, weight, bias, self.stride, self.padding, over, self.groups, self.dilation
            )  # type: ignore[arg-type]
        if self._scatters(weight, over):
            return self._scattered(weight, bias, after)
        how = self.padding, over, self.stride, self.dilation, self.groups
        name, numbers = after or ("none", [])
        size = list(self.inputs[0].shape if self.transposed else self.shape)
        blocked = onednn._reorder_convolution_transpose_weight(weight, *how, size)
        return lambda x: onednn._convolution_transpose_pointwise.default(x, blocked, bias, *how, name, numbers, "")

    def _scatters(self, weight: Tensor, over: list[int]) -> bool:
        """Whether one matrix product and sums of its parts beat oneDNN's transposed convolution: they do where there
        are few rows of a map to share a kernel's weights, or few channels to fill a register with."""
        plain = self.groups == 1 and self.dilation == [1, 1] and over == [0, 0] and self.dtype == torch.float32
        rows = self.inputs[0].shape[2:].numel() if self.transposed else self.shape[2:].numel()
        return plain and min(self.stride) > 1 and (rows <= _FEW_ROWS or weight.shape[1] <= _FEW_CHANNELS)

    def _scattered(self, weight: Tensor, bias: Tensor | None, after: tuple[str, list[Any]] | None) -> Run:
        """A transposed convolution as a product with the whole kernel, whose parts are then added where they belong.

        Row s·i + k − p of the output receives tap k of row i. With rows counted from −p and taken s at a time, tap k
        of all i goes to rows i + k // s, place k % s: a slice.
        """
        n_in, n_out, height, width = weight.shape
        (b, _, h, w), (_, _, h_out, w_out) = (self.inputs[0].shape, self.shape) if self.transposed else (
            self.shape, self.inputs[0].shape
        )  # fmt: skip
        (s, t), (p, q) = self.stride, self.padding
        matrix = _matmul(weight.permute(2, 3, 1, 0).reshape(-1, n_in), None, None, True, b * h * w)
        padded = b, h + -(-height // s), s, w + -(-width // t), t, n_out
        begin = weight.new_zeros(n_out) if bias is None else bias
        act = _ACTIVATIONS[after[0]] if after else None

        def run(x: Tensor) -> Tensor:
            parts = matrix(x.permute(0, 2, 3, 1).reshape(-1, n_in)).view(b, h, w, height, width, n_out)
            out = begin.expand(padded).contiguous()
            for i in range(height):
                for j in range(width):
                    out[:, i // s : i // s + h, i % s, j // t : j // t + w, j % t] += parts[:, :, :, i, j]
            out = out.view(b, padded[1] * s, padded[3] * t, n_out)[:, p : p + h_out, q : q + w_out].permute(0, 3, 1, 2)
            return out.contiguous(memory_format=torch.channels_last) if act is None else act(out, *after[1])  # type: ignore[index]

        return run

    def _ordered(self, weight: Tensor) -> Tensor:
        return weight.contiguous(memory_format=torch.channels_last) if self.channels_last else weight


_FEW_ROWS, _FEW_CHANNELS = 16, 4
_MANY_CHANNELS, _MANY_TILES = 128, 100
_ACTIVATIONS: dict[str, Callable[..., Tensor]] = {"relu": F.relu, "leaky_relu": F.leaky_relu}
"""The functions that oneDNN can apply after a layer, by its names."""


@dataclass
class FromPoint(Affine):
    """A transposed convolution of a 1×1 map without padding: a matrix product with the whole output map."""

    def prepare(self, dtype: torch.dtype, after: tuple[str, list[Any]] | None, packed: bool) -> None:
        self.dtype = dtype
        self.channels_last = False
        weight, bias = _now(self.weight, dtype), _now(self.bias, dtype)
        n_in, n_out, height, width = weight.shape
        # Rows in the order (height, width, channel): the product comes out in channels-last order.
        matrix = weight.permute(2, 3, 1, 0).reshape(-1, n_in)
        wide = None if bias is None else bias.repeat(height * width)
        b = self.shape[0]
        forward = _matmul(matrix, wide, after if packed else None, packed, b)
        back = _matmul(matrix.t().contiguous(), None, None, packed, b)
        self.run = lambda x: forward(x.reshape(b, n_in)).view(b, height, width, n_out).permute(0, 3, 1, 2)
        self.run_back = lambda g: back(g.permute(0, 2, 3, 1).reshape(b, -1)).view(b, n_in, 1, 1)


@rule("conv2d")
def _conv2d(
    input: Ref, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Op:  # fmt: skip
    return _convolution(input, weight, bias, (stride, padding, dilation, 0), groups, False)


@rule("conv_transpose2d")
def _conv_transpose2d(
    input: Ref, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Op:  # fmt: skip
    return _convolution(input, weight, bias, (stride, padding, dilation, output_padding), groups, True)


def _convolution(
    input: Ref, weight: Tensor, bias: Tensor | None, numbers: tuple[Any, ...], groups: int, transposed: bool
) -> Op:
    """The op, from its stride, padding, dilation and output padding."""
    _leaves(input, weight, bias)
    stride, padding, dilation, over = map(_pair, numbers)
    if transposed and (*input.shape[2:], *padding, *over, *dilation, groups) == (1, 1, 0, 0, 0, 0, 1, 1, 1):
        return FromPoint((input,), weight, bias)
    return Convolution((input,), weight, bias, stride, padding, dilation, groups, transposed, over)


def _pair(value: Any) -> list[int]:
    if isinstance(value, str):
        raise Refused("padding is given by a word")
    pair = [value, value] if isinstance(value, int) else list(value)
    if len(pair) == 1:
        pair = pair * 2
    return pair


def _leaves(input: Any, weight: Any, bias: Any) -> None:
    if not isinstance(input, Ref) or not isinstance(weight, Tensor) or not isinstance(bias, (Tensor, type(None))):
        raise Refused("a layer's weights depend on the argument")
    if len(input.shape) < 2 or (weight.ndim == 4 and len(input.shape) != 4):
        raise Refused("a layer is applied to something without a batch")


def _now(t: Any, dtype: torch.dtype) -> Any:
    """The values of a parameter as they are now, in the type of the computation."""
    return None if t is None else t.detach().to(dtype)
