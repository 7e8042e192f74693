"""What recipes of energies that are learned without chains share: kinds, networks of all noise levels, averaging."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt

from torch import nn

from absynth.networks.conditional import strided_f
from absynth.networks.level_heads import LevelHeads, mlp_levels
from absynth.networks.mlp import Activation, mlp
from absynth.recipes._fields import DataChain, ImageOptions, TableOptions, half_cosine
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive
from absynth.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ChainFree(ImageOptions, TableOptions, DataChain, Recipe):
    """An energy of the data that learns without chains."""

    kinds = ("toy", "table", "image")

    batch: Count = 256
    ema: Decay = 0.99
    energy_activation: Activation = "silu"
    input_scale: Positive = 5.0
    """Factor on vectors before the first layer; smooth activations resolve little at the scale of one unit."""
    data_noise: NonNegative = 0.0
    """Standard deviation of noise in the data that are learned; repeated values and images need some."""
    chain_steps: Count = 10
    energy_lr: Positive = 5e-3

    def schedule(self, step: int) -> float:
        return half_cosine(step, self.steps)

    def level_network(self, levels: int, *, whitened: bool = False) -> LevelHeads:
        """f(x, t) of every noise level, one output each; whitened pixels have no neighbours, so layers are full."""
        if whitened:
            widths = [prod(self.shape), *[self.energy_width] * 2, levels]
            return LevelHeads(nn.Sequential(nn.Flatten(), mlp(widths, self.energy_activation)))
        if self.examples.kind != "image":
            return mlp_levels(*self.shape, self.energy_width, levels, self.energy_activation, scale=self.input_scale)
        channels, size, _ = self.shape
        net: nn.Module = strided_f(channels, size, self.energy_width, self.energy_activation, first=4, outputs=levels)
        return LevelHeads(net)


def noise_levels(lowest: float, levels: int, highest_ratio: float = 5.0) -> tuple[float, ...]:
    """s with noise over signal in geometric progression from that of ``lowest`` to ``highest_ratio``.

    >>> [round(s, 3) for s in noise_levels(0.1, 4)]
    [0.1, 0.347, 0.806, 0.981]
    """
    first = lowest / sqrt(1 - lowest**2)
    ratios = (first * (highest_ratio / first) ** (i / max(levels - 1, 1)) for i in range(levels))
    return tuple(r / sqrt(1 + r * r) for r in ratios)
