"""Motion of clips: how long pixels remember, and how much changes from frame to frame at which size."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

BANDS = 4
"""Octaves of spatial frequency."""


def autocorrelation(x: Float[Tensor, "n c t h w"], lags: int) -> Float[Tensor, "lags"]:
    """Correlation of a pixel with itself 1 to ``lags`` frames later, each pixel less its mean over time.

    >>> x = torch.arange(4.0).view(1, 1, 4, 1, 1).repeat(1, 1, 50, 1, 1)
    >>> autocorrelation(x, 4)[3] > 0.9
    tensor(True)
    """
    centred = x - x.mean(2, keepdim=True)
    power = centred.square().mean().clamp(min=1e-12)
    products = [(centred[:, :, k:] * centred[:, :, :-k]).mean() for k in range(1, lags + 1)]
    return torch.stack(products) / power


def difference_spectrum(x: Float[Tensor, "n c t h w"]) -> Float[Tensor, "bands"]:
    """Mean power of the difference of successive frames in four octaves of spatial frequency, coarse to fine.

    Frames have 16 pixels a side or more: in smaller ones an octave is empty.
    """
    change = (x[:, :, 1:] - x[:, :, :-1]).double()
    power = torch.fft.fft2(change, norm="ortho").abs().square().mean((0, 1, 2))
    rows, columns = (torch.fft.fftfreq(side, dtype=torch.float64) for side in x.shape[-2:])
    radius = (rows[:, None] ** 2 + columns**2).sqrt()
    edges = [0.0, *(0.5 / 2 ** (BANDS - k) for k in range(1, BANDS)), 1.0]
    found = [power[(radius >= low) & (radius < high)].mean() for low, high in pairwise(edges)]
    return torch.stack(found).float()


def worst_factor(a: Float[Tensor, "k"], b: Float[Tensor, "k"], floor: float = 0.02) -> float:
    """The largest factor between two positive curves, either way; values under ``floor`` of the largest count as it.

    >>> worst_factor(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]))
    2.0
    """
    least = floor * float(b.max())
    ratio = (a.clamp(min=least) / b.clamp(min=least)).log().abs()
    return float(ratio.max().exp())
