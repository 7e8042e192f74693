"""Linear and convolutional layers with constant weights: where nearly all of a chain's arithmetic is.

A layer is made ready once a chain. On a CPU in float32 it runs on oneDNN with weights reordered, convolutions have
activations in channels-last order, and a ReLU that follows is applied in the same pass; other types and devices use
torch's own layers. The gradient of a convolution by its input is a transposed convolution with the same weights, and
the other way round, so two kinds of layer serve both passes. A transposed convolution of a 1×1 map, the first layer of
most generators, and a convolution that leaves one, are matrix products and are run as such.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from absynth.engine.minimal import Minimal

onednn = torch.ops.mkldnn
Run = Callable[[Tensor], Tensor]
Activation = tuple[str, list[Any]]
"""A function that oneDNN can apply after a layer, by its name, and that function's numbers."""
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {"relu": F.relu, "leaky_relu": F.leaky_relu}
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class How:
    """How layers are run in one chain: type, and whether in oneDNN's packed form."""

    dtype: torch.dtype
    packed: bool
    casts: bool
    """Whether inputs may have another type: a score in bfloat16."""

    def of(self, t: Tensor | None) -> Any:
        """The values of a parameter as they are now, in the type of the computation."""
        return None if t is None else t.detach().to(self.dtype)

    def input(self, run: Run) -> Run:
        """``run`` on inputs of any type."""
        return (lambda x: run(x.to(self.dtype))) if self.casts else run


def linear(how: How, weight: Tensor, bias: Tensor | None, rows: int, after: Activation | None) -> Run:
    """x ↦ x W + b, W ``[in, out]``, for so many rows; then the activation ``after``."""
    return how.input(_matmul(how, how.of(weight).t(), how.of(bias), rows, after))


def _matmul(how: How, weight: Tensor, bias: Tensor | None, rows: int, after: Activation | None = None) -> Run:
    if not how.packed or min(weight.shape) == 1 or rows == 1:
        return _then(lambda x: F.linear(x, weight, bias), after)
    name, numbers = after or ("none", [])
    blocked = onednn._reorder_linear_weight(weight.contiguous(), rows)
    return lambda x: onednn._linear_pointwise.default(x, blocked, bias, name, numbers, "")


def _then(run: Run, after: Activation | None) -> Run:
    """``run``, and the activation in place on what it makes."""
    if after is None:
        return run
    act, numbers = ACTIVATIONS[after[0]], after[1]
    return lambda x: act(run(x), *numbers, inplace=True)


@dataclass(frozen=True)
class Convolution:
    """A convolution, or a transposed one, in one to three dimensions.

    Args:
        transposed: Which of the two. The weight is ``[out, in, *taps]`` of a plain one, ``[in, out, *taps]`` of a
            transposed one.
        stride: Stride, padding, dilation and groups as torch has them.
        over: What a transposed one adds at the far end of each side.
        before: Shape of the input ``[b, channels, *sides]``.
        after: Shape of the output.
        taps: Shape of the weight.
        activation: Applied to the result.
    """

    transposed: bool
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    over: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    taps: tuple[int, ...]
    activation: Activation | None = None

    def as_2d(self) -> Convolution:
        """The same on maps of one row."""
        one, zero = ((1, *a) for a in (self.stride, self.dilation)), ((0, *a) for a in (self.padding, self.over))
        (stride, dilation), (padding, over) = one, zero
        before, after, taps = ((*a[:2], 1, *a[2:]) for a in (self.before, self.after, self.taps))
        return Convolution(
            self.transposed, stride, padding, dilation, self.groups, over, before, after, taps, self.activation
        )

    def ready(self, how: How, weight: Tensor, bias: Tensor | None, sums: Minimal | None = None) -> Run:
        """The layer with these weights.

        Args:
            how: Type and form.
            weight: Of the convolution.
            bias: ``[out]``, or None.
            sums: Its taps added up, where it ``halves`` or doubles maps.
        """
        if len(self.taps) == 3:
            run = self.as_2d().ready(how, weight.unsqueeze(2), bias)
            return lambda x: run(x.unsqueeze(2)).squeeze(2)
        if self._is_product():
            return how.input(self._product(how, how.of(weight), how.of(bias)))
        if sums is not None:
            return self._in_fewer_products(how, sums, how.of(bias))
        weight, bias = how.of(weight), how.of(bias)
        if how.dtype == torch.float64:  # for tests and small problems: autograd's own operations in its memory's order
            return self._torchs(weight, bias)
        last = LAST[len(self.taps)]
        if how.packed and self.transposed and self._scatters(how):
            run = self._scattered(how, weight, bias)
        else:
            if not (how.packed and self.transposed):
                weight = weight.contiguous(memory_format=last)
            run = self._packed(weight, bias) if how.packed else self._torchs(weight, bias)
        return how.input(lambda x: run(x.contiguous(memory_format=last)))

    def _torchs(self, weight: Tensor, bias: Tensor | None) -> Run:
        stride, padding, dilation = map(list, (self.stride, self.padding, self.dilation))
        over = list(self.over) if self.transposed else [0] * len(self.stride)
        return lambda x: torch.convolution(
            x, weight, bias, stride, padding, dilation, self.transposed, over, self.groups
        )

    def _packed(self, weight: Tensor, bias: Tensor | None) -> Run:
        name, numbers = self.activation or ("none", [])
        padding, stride, dilation = list(self.padding), list(self.stride), list(self.dilation)
        if self.transposed:
            how: tuple = (padding, list(self.over), stride, dilation, self.groups)
            blocked = onednn._reorder_convolution_transpose_weight(weight, *how, list(self.before))
            call = onednn._convolution_transpose_pointwise.default
        else:
            how = (padding, stride, dilation, self.groups)
            blocked = onednn._reorder_convolution_weight(weight, *how, list(self.before))
            call = onednn._convolution_pointwise.default
        return lambda x: call(x, blocked, bias, *how, name, numbers, "")

    # --- as a matrix product ---

    def _is_product(self) -> bool:
        """Whether it is between single points and whole maps."""
        point, whole = (self.before, self.after) if self.transposed else (self.after, self.before)
        return (
            set(point[2:]) == {1}
            and whole[2:] == self.taps[2:]
            and (set(self.padding), set(self.dilation), self.groups) == ({0}, {1}, 1)
        )

    def _product(self, how: How, weight: Tensor, bias: Tensor | None) -> Run:
        b, ins, *sides = self.before
        d, taps = len(sides), self.taps[2:]
        if not self.transposed:
            matrix = weight.permute(0, *range(2, d + 2), 1).reshape(len(weight), -1)
            run = _matmul(how, matrix, bias, b, self.activation)
            return lambda x: run(x.movedim(1, -1).reshape(b, -1)).view(b, -1, *[1] * d)
        # Rows in the order (sides, channel): the product comes out in channels-last order.
        matrix = weight.permute(*range(2, d + 2), 1, 0).reshape(-1, ins)
        wide = None if bias is None else bias.repeat(len(matrix) // len(bias))
        run = _matmul(how, matrix, wide, b, self.activation)
        return lambda x: run(x.reshape(b, ins)).view(b, *taps, -1).movedim(-1, 1)

    # --- in nine products for sixteen ---

    def narrow(self) -> tuple[int, ...]:
        """Shape of the smaller map."""
        return self.before if self.transposed else self.after

    def halves(self) -> bool:
        """Whether it is between many small maps of many channels and maps of twice the sides, by 4×4 taps."""
        b, _, *sides = self.narrow()
        wide = self.after if self.transposed else self.before
        return (
            (self.stride, self.padding, self.dilation, self.groups) == ((2, 2), (1, 1), (1, 1), 1)
            and self.taps[2:] == (4, 4)
            and list(wide[2:]) == [2 * n for n in sides]
            and sides[0] % 2 == sides[1] % 2 == 0
            and sides[0] * sides[1] <= FEW_ROWS
            and b * sides[0] * sides[1] >= 4 * MANY_TILES
            and min(self.taps[:2]) >= MANY_CHANNELS
        )

    def _in_fewer_products(self, how: How, sums: Minimal, bias: Tensor | None) -> Run:
        run = sums.widen if self.transposed else sums.narrow
        return how.input(_then(lambda x: run(x, bias), self.activation))

    # --- as a matrix product whose parts are added up ---

    def _scatters(self, how: How) -> bool:
        """Whether one matrix product and sums of its parts beat oneDNN's transposed convolution: they do where there
        are few rows of a map to share a kernel's weights, or few channels to fill a register with."""
        plain = self.groups == 1 and set(self.dilation) == {1} and set(self.over) == {0} and how.dtype == torch.float32
        rows = torch.Size(self.before[2:]).numel()
        few = self.taps[1] <= FEW_CHANNELS or (rows <= FEW_ROWS and len(self.stride) == 2)
        return plain and min(self.stride) > 1 and few

    def _scattered(self, how: How, weight: Tensor, bias: Tensor | None) -> Run:
        """A transposed convolution as a product with the whole kernel, whose parts are then added where they belong.

        Row s·i + k − p of the output receives tap k of row i. With rows counted from −p and taken s at a time, tap k
        of all i goes to rows i + k // s, place k % s: a slice.
        """
        (b, ins, *sides), outs, taps = self.before, self.taps[1], self.taps[2:]
        d, stride, padding = len(sides), self.stride, self.padding
        matrix = _matmul(
            how, weight.permute(*range(2, d + 2), 1, 0).reshape(-1, ins), None, b * torch.Size(sides).numel()
        )
        blocks = [n + -(-k // s) for n, k, s in zip(sides, taps, stride)]
        padded = b, *itertools.chain(*zip(blocks, stride)), outs
        begin = weight.new_zeros(outs) if bias is None else bias
        cut = slice(None), *(slice(p, p + n) for p, n in zip(padding, self.after[2:]))
        act, numbers = (ACTIVATIONS[self.activation[0]], self.activation[1]) if self.activation else (None, [])
        last = LAST[d + 2]

        def run(x: Tensor) -> Tensor:
            parts = matrix(x.movedim(1, -1).reshape(-1, ins)).view(b, *sides, *taps, outs)
            out = begin.expand(padded).contiguous()
            for place in itertools.product(*map(range, taps)):
                to: list[Any] = [slice(None)]
                for k, s, n in zip(place, stride, sides):
                    to += [slice(k // s, k // s + n), k % s]
                out[tuple(to)] += parts[(slice(None), *[slice(None)] * d, *place)]
            out = out.view(b, *(n * s for n, s in zip(blocks, stride)), outs)[cut].movedim(-1, 1)
            return out.contiguous(memory_format=last) if act is None else act(out, *numbers)

        return run


FEW_ROWS, FEW_CHANNELS = 16, 4
MANY_CHANNELS, MANY_TILES = 128, 100
