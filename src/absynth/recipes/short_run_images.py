"""A short-run EBM of a user's own pictures: a folder, or an .npz / .npy of arrays.

Numbers of Nijkamp et al. 2019 (arXiv:1904.09770) and their authors' code: 100 steps of x + ∇f + 0.01·ε from uniform
noise, which is Langevin with δ = √2 at temperature 5e-5, so f / 5e-5 is the log density that is sampled; no reference;
width 64, data noise 0.03, Adam at 1e-4. Here the activation is smooth by default, for its bounded curvature. The other
image recipes are this one with a data set's own numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.improved_contrastive_divergence import ImageMoves, ImprovedContrastiveDivergence
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.density import EBM
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError
from absynth.networks.convnet import conv_f
from absynth.networks.mlp import Activation
from absynth.recipes._pictures import PictureRecipe
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromData, FromNoise, Langevin, Persistent, Start
from absynth.seeding import Streams, stream, uniform_like
from absynth.types import Batch, Reference

BANK = int.from_bytes(b"bank", "big")
"""Keeps the first bank apart from a step's noise."""
HIDDEN = int.from_bytes(b"hide", "big")
"""And the hidden pixels of a picture from all other noise of a seed."""


@dataclass(frozen=True, kw_only=True)
class ShortRunImages(PictureRecipe):
    """Energy-based model of pictures by maximum likelihood (Nijkamp et al. 2019) on your own pictures."""

    steps: int = 50_000
    batch: int = 64
    checkpoint_every: int = 500
    method: Literal["maximum_likelihood", "improved_cd"] = "maximum_likelihood"
    """Improved contrastive divergence (Du et al. 2021) adds its two terms, and moves in a persistent bank."""
    start: Literal["noise", "persistent", "data"] = "noise"
    """Where chains begin: fresh noise (short run), a bank that survives, the data (contrastive divergence)."""
    bank: int = 10_000
    """Chains of the bank, with --start persistent."""
    restart: float = 0.05
    """Probability that a chain of the bank begins anew in an update."""
    reference_std: float = 0.0
    """Standard deviation of the Gaussian p_0, where chains then begin too; 0: flat, and a uniform start."""
    width: int = 64
    """n_f, maps of f's first layer."""
    stem: Literal[1, 2] = 1
    """Stride of f's first convolution; 2 is several times as fast, and lets f be wider."""
    ebm_activation: Activation = "silu"
    """Activation of f; the authors' leaky ReLU wants a smaller rate or more data noise."""
    chain_steps: int = 100
    """K, Langevin steps an update and a sample."""
    step_size: float = math.sqrt(2)
    """δ of x + (δ²/2)·score + δ√T·noise; for x + η∇f + s·noise it is √(2η)."""
    temperature: float = 5e-5
    """T, the temperature that is really sampled, s²/(2η); 1 is true Langevin."""
    sample_rounds: int = 1
    """Times K steps run for a fresh sample; 1 is the short run, persistent models want more."""
    missing: float = 0.0
    """Share of the pixels that are hidden, the same ones of a picture always: learning from incomplete data."""
    data_noise: float = 0.03
    """Standard deviation of noise added to the data; less is sharper, and less stable."""
    lr: float = 1e-4
    """Adam's rate."""
    beta1: float = 0.9
    """Adam's first β; less damps the oscillation between learning and synthesis."""
    decay: float = 0.2
    """Share of the updates, at the end, in which the rate falls to 0."""
    guard_tries: int = 12
    """Times the guard rolls back; the first and every second one only draws another random stream."""
    guard_step_size: float = 1.0
    """Forbidden here: K shorter steps reach less far, and a short run that cannot follow f diverges the faster."""
    guard_learning_rate: float = 0.3
    """Factor on the rate, the one remedy of a short run."""
    guard_gap: float = 20.0
    """A gap below this is never trouble: f grows before chains follow, and a healthy run may pass 6 at first."""
    guard_stability: float = 100.0
    """Out of the way: δ²λ tells how wide a chain samples in equilibrium, which one at T = 5e-5 never comes near."""

    def __post_init__(self) -> None:
        if not 0 <= self.missing < 1:
            raise InputError(f"--missing is a share of the pixels, at least 0 and below 1, got {self.missing:g}")
        if self.method == "improved_cd" and self.start != "persistent":
            raise InputError(
                f"improved_cd needs a bank to keep apart from, got --start {self.start}: add --start persistent"
            )

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start)
        return map(self.hide, found) if self.missing else found

    def hide(self, batch: Batch) -> Batch:
        """The batch with a share of its pixels unseen; which follow from (seed, picture) alone."""
        assert batch.index is not None
        u = uniform_like(batch.x[:, :1], Streams(self.seed ^ HIDDEN, batch.index.tolist()))
        mask = (u >= self.missing).to(batch.x.dtype).expand_as(batch.x)
        return batch._replace(x=batch.x * mask, mask=mask)

    def algorithm(self) -> MaximumLikelihood:
        shape = (self.channels, self.size, self.size)
        flat = Uniform(*shape)
        reference = StandardNormal(*shape, std=self.reference_std) if self.reference_std else flat
        f = conv_f(self.channels, self.size, self.width, self.ebm_activation, stem=self.stem)
        # Channels last: convolutions of few channels run half as long on a CPU.
        ebm = EBM(f.to(memory_format=torch.channels_last), reference)  # type: ignore[call-overload]
        start = self._start(reference)
        sampler = Langevin(self.chain_steps, self.step_size, self.step_size * math.sqrt(self.temperature))
        if isinstance(start, Persistent) and self.method == "improved_cd":
            return ImprovedContrastiveDivergence(
                ebm, start=start, sampler=sampler, moves=ImageMoves(), data_noise=self.data_noise,
                sample_rounds=self.sample_rounds,
            )  # fmt: skip
        return MaximumLikelihood(
            ebm, start=start, sampler=sampler, data_noise=self.data_noise, sample_rounds=self.sample_rounds
        )

    def _start(self, reference: Reference) -> Start:
        if self.start == "persistent":
            return Persistent(self.bank, reference, self.restart, rng=stream(self.seed, 0, 0, BANK))
        return FromNoise(reference) if self.start == "noise" else FromData()

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.lr, (self.beta1, 0.999))}

    def schedule(self, step: int) -> float:
        return min(1.0, (self.steps - step) / max(self.decay * self.steps, 1.0))

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, limit=64, width=4, chain_steps=3, bank=32, log_every=1, checkpoint_every=2
        )
