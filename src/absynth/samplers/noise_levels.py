"""Noise levels of a diffusion: the standard deviations s̄_0 < … < s̄_{T−1} of the noise that it adds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from absynth.errors import InputError


def ddpm_noise(levels: Sequence[int], last: int = 1000) -> tuple[float, ...]:
    """s̄ at the given indices of the schedule with β linear from 1e-4 to 2e-2 over ``last`` levels.

    (0, 100, 200, 300, 400, 500) is the paper's T6; range(1000) its thousand levels.

    >>> [round(s, 4) for s in ddpm_noise((0, 100, 200, 300, 400, 500))]
    [0.01, 0.3238, 0.5862, 0.7785, 0.898, 0.9603]
    """
    signal = (1 - torch.linspace(1e-4, 2e-2, last, dtype=torch.float64)).cumprod(0)
    return tuple((1 - signal[list(levels)]).sqrt().tolist())


def log_snr_noise(low: float, high: float, levels: int) -> tuple[float, ...]:
    """s̄ from ``low`` to ``high`` with s̄ / √(1 − s̄²), the noise beside the signal, in geometric progression.

    Every level then adds the same share of noise to what the one below it has; where s̄ itself is in geometric
    progression the last level adds far more than the others.

    >>> [round(s, 3) for s in log_snr_noise(0.05, 0.95, 4)]
    [0.05, 0.193, 0.612, 0.95]
    """
    if not (0 < low < high < 1 and levels > 0):
        raise InputError(f"expected 0 < low < high < 1 and 1 level or more, got {low:g}, {high:g} and {levels}")
    first, last = (s / math.sqrt(1 - s**2) for s in (low, high))
    ratios = (first * (last / first) ** (t / max(levels - 1, 1)) for t in range(levels))
    return tuple(r / math.sqrt(1 + r**2) for r in ratios)


def log_spaced_noise(low: float, high: float, levels: int) -> tuple[float, ...]:
    """s̄ in geometric progression from ``low`` to ``high``; of one level, ``low``.

    >>> [round(s, 3) for s in log_spaced_noise(0.05, 0.95, 4)]
    [0.05, 0.133, 0.356, 0.95]
    """
    if not (0 < low < high < 1 and levels > 0):
        raise InputError(f"expected 0 < low < high < 1 and 1 level or more, got {low:g}, {high:g} and {levels}")
    return tuple(low * (high / low) ** (t / max(levels - 1, 1)) for t in range(levels))
