"""A transposed convolution of 4×4 taps and stride 2, and the convolution that is its gradient, in 9/16 of the products.

The wide map has four interleaved quarters, by the parity of row and column, and each is a convolution of the narrow map
with 2×2 of the taps. Two neighbouring outputs of two taps take three products where four are written (Winograd's
F(2, 2), "Arithmetic Complexity of Computations", 1980; Lavin and Gray, arXiv:1509.09308, have it for 3×3 taps):

    d0 g0 + d1 g1 = m0 + m1        m0 = (d0 − d1) g0,   m1 = d1 (g0 + g1),   m2 = (d1 − d2) g1
    d1 g0 + d2 g1 = m1 − m2

along rows and along columns: 9 for 16. No factor but ±1 is met, so rounding stays of its order. The sums cost memory
traffic, which pays where channels are many and maps are small.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# The taps that reach the odd rows of the wide map, and the even ones, from narrow rows m and m + 1, m − 1 and m.
_TAPS = (2, 0), (3, 1)


class Minimal:
    """Both maps' sides, and the taps added up as the products need them; they serve both directions.

    Args:
        weight: ``[n, m, 4, 4]`` of the transposed convolution from n channels to m.
        batch: examples.
        height: rows of the narrow map, even.
        width: its columns, even.
        dtype: of the maps, and of the taps once they are added up.
    """

    def __init__(self, weight: Tensor, batch: int, height: int, width: int, dtype: torch.dtype) -> None:
        self.batch, self.height, self.width = batch, height, width
        self.tiles = height // 2, width // 2
        self.rows = self.tiles[0] * self.tiles[1] * batch
        self.narrow_channels, self.wide_channels = weight.shape[:2]
        taps = weight.detach().permute(2, 3, 1, 0).contiguous()
        self.kernels = weight.new_empty(3, 3, 2, 2, self.wide_channels, self.narrow_channels, dtype=dtype)
        for a in range(2):
            for p, row in enumerate(_three(taps, a)):
                for b in range(2):
                    for q, kernel in enumerate(_three(row, b)):
                        self.kernels[p, q, a, b] = kernel

    def widen(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The transposed convolution: ``[b, n, h, w]`` to ``[b, m, 2h, 2w]``, channels last."""
        (h, w), b, m = self.tiles, self.batch, self.wide_channels
        y = x.new_empty(b, h, 2, 2, w, 2, 2, m)  # wide row 4t + 2i + a, wide column 4u + 2j + c
        part = x.new_empty(2, 2, h, w, b, self.narrow_channels)
        sums: dict[tuple[int, int, int], list[Tensor]] = {}
        quarters = [(a, c) for a in range(2) for c in range(2)]
        products: list[list[Tensor]] = [[] for _ in quarters]
        for p, q in self._parts(_padded(x), 2, part, (4, 5, 0, 1, 2, 3)):
            for (a, c), found in zip(quarters, products):
                kernel = self.kernels[p, q, 1 - a, 1 - c]
                found.append(_product(part[a, c].view(self.rows, -1), kernel, bias if p == q == 1 else None))
            if q == 2:
                for (a, c), found in zip(quarters, products):
                    for j, total in enumerate(_two(found)):
                        sums.setdefault((a, c, j), []).append(total)
                    found.clear()
        for (a, c, j), (m0, m1, m2) in sums.items():
            self._rows(y[:, :, :, a, :, j, c], m0, m1, m2)
        return y.view(b, 4 * h, 4 * w, m).permute(0, 3, 1, 2)

    def narrow(self, g: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with the same taps: ``[b, m, 2h, 2w]`` to ``[b, n, h, w]``, channels last."""
        (h, w), b, n = self.tiles, self.batch, self.narrow_channels
        y = g.new_empty(b, h, 2, w, 2, n)
        part = g.new_empty(h, w, b, 2, 2, self.wide_channels)
        sums: tuple[list[Tensor], list[Tensor]] = [], []
        found: list[Tensor] = []
        for p, q in self._parts(_padded(g), 4, part, (0, 1, 2, 4, 5, 3)):
            # The taps come the other way round here, so the parts that are theirs do too.
            kernel = self.kernels[2 - p, 2 - q].view(-1, n).t()
            found.append(_product(part.view(self.rows, -1), kernel, bias if p == q == 1 else None))
            if q == 2:
                for side, total in zip(sums, _two(found)):
                    side.append(total)
                found.clear()
        for j, (m0, m1, m2) in enumerate(sums):
            self._rows(y[:, :, :, :, j], m0, m1, m2)
        return y.view(b, 2 * h, 2 * w, n).permute(0, 3, 1, 2)

    def _parts(self, padded: Tensor, step: int, part: Tensor, order: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """Write d0 − d1, d1 and d1 − d2, of rows and of columns, into ``part`` one after another.

        A tile of the narrow map is two rows, ``step`` rows of the padded map: its own or the wide one. The d are half a
        step apart, and beside each is the next row, of the other parity or of the next output's.
        """
        lag, (h, w) = step // 2, self.tiles
        change = padded[:-lag] - padded[lag:]
        for p, (source, first) in enumerate(((change, 0), (padded, lag), (change, lag))):
            rows = source[first:].unfold(0, 2, step)[:h]
            d0, d1, d2 = (rows[:, k * lag :].unfold(1, 2, step)[:, :w].permute(order) for k in range(3))
            for q in range(3):
                if q == 1:
                    part.copy_(d1)
                else:
                    torch.sub(*((d0, d1) if q == 0 else (d1, d2)), out=part)
                yield p, q

    def _rows(self, y: Tensor, m0: Tensor, m1: Tensor, m2: Tensor) -> None:
        """Both rows of every tile, into ``y [b, t, 2, u, channels]``."""
        m0, m1, m2 = (m.view(*self.tiles, self.batch, -1).permute(2, 0, 1, 3) for m in (m0, m1, m2))
        torch.add(m0, m1, out=y[:, :, 0])
        torch.sub(m1, m2, out=y[:, :, 1])


def _three(taps: Tensor, quarter: int) -> tuple[Tensor, Tensor, Tensor]:
    g0, g1 = (taps[k] for k in _TAPS[quarter])
    return g0, g0 + g1, g1


def _two(m: list[Tensor]) -> tuple[Tensor, Tensor]:
    return m[0].add_(m[1]), m[1].sub_(m[2])


def _padded(x: Tensor) -> Tensor:
    """``[h + 2, w + 2, b, channels]``, with zeros around."""
    b, channels, h, w = x.shape
    out = x.new_zeros(h + 2, w + 2, b, channels)
    out[1:-1, 1:-1] = x.permute(2, 3, 0, 1)
    return out


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b in oneDNN, which at these sizes is as fast with weights as they lie, if they lie densely."""
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
