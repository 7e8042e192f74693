"""Symbols discovered among eight Gaussians in the plane: the toy of Pang and Wu 2021, at a size for one CPU core.

Nothing is labelled. With the information term each symbol becomes one Gaussian (log 8 = 2.08 nats at most); without it
the symbols mean nothing (``--information_weight 0``). The authors train 25,000 updates of batch 500 with chains of 100.

Every symbol must be some z's from the beginning, for one that is chosen nowhere gets no gradient: F begins bent and
steep (``input_scale``, ``symbol_scale``); as usually initialized it ends with four to six of the eight. Two more things
hold the learning. A short run from N(0, I) must have time to leave it: K δ²/2 well above 1, else it stays
behind the inference model, which climbs f, and f grows without end. And a floor under q's variance keeps the modes in z
from sharpening until δ²λ is too large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.data.toy import EightGaussians
from absynth.distributions import GaussianGenerator
from absynth.networks.mlp import mlp
from absynth.recipes._symbols import SymbolRecipe
from absynth.recipes.recipe import Recipe
from absynth.seeding import stream
from absynth.types import Batch

TRUTH = EightGaussians(radius=2.0, std=0.2)
"""The law of the data."""


@dataclass(frozen=True, kw_only=True)
class InformationBottleneckToy(SymbolRecipe):
    """Symbols discovered among eight Gaussians by an information bottleneck."""

    steps: int = 300
    batch: int = 200
    guard_gap: float = 50.0
    """A gap below this is never trouble: with the information term F is steep by intention."""
    symbols: int = 8
    """C, how many symbols there are."""
    information_weight: float = 15.0
    latent: int = 2
    width: int = 100
    """Hidden units of the generator and of the inference network."""
    std: float = 0.2
    """σ of p(x|z)."""
    least_log_variance: float = -2.0
    input_scale: float = 8.0
    symbol_scale: float = 20.0
    prior_steps: int = 60
    prior_lr: float = 4e-4
    sample_rounds: int = 3

    def algorithm(self) -> InformationBottleneck:
        generator = GaussianGenerator(mlp([self.latent, self.width, self.width, 2], "silu"), self.std)
        encoder = mlp([2, self.width, self.width, 2 * self.latent], "silu")
        return self.coupling(generator, encoder, self.symbols)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        step = start
        while True:  # fresh examples for ever; they follow from (seed, step) as everything does
            yield Batch(TRUTH.sample(self.batch, stream(self.seed, 0, step, 10)))
            step += 1

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.symbols

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, width=8, nef=8, prior_steps=3, posterior_steps=3, log_every=1, checkpoint_every=2
        )
