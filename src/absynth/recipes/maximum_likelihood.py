"""Maximum likelihood learning of an EBM of the data: short-run, persistent, contrastive divergence.

*Images* have the numbers of the paper (Nijkamp, Hill, Zhu, Wu, NeurIPS 2019, arXiv:1904.09770) and its authors' code:
100 steps of x + ∇f + 0.01·ε from uniform noise, which is Langevin with δ = √2 at temperature 5e-5, so f / 5e-5 is the
log density that is sampled; no reference; width 64, data noise 0.03, Adam at 1e-4. Here the activation is smooth by
default, for its bounded curvature. The preset of MNIST is smaller: K = 30 for 100, 1,200 updates for 100,000, width 32
behind a first convolution that halves the side.

*Vectors*: on eight Gaussians log Z is a sum over a grid, so KL(data ‖ model) is exact (``absynth reproduce ebm_ring``);
the best single Gaussian scores 1.0955 nats. The network matters more than how it is sampled: with exact gradients a
leaky ReLU network reaches .018 nats and a smooth one on unscaled inputs stays at .26, because the modes (std .15) are
small relative to the unit on which its units bend; ``--input-scale 3`` repairs that. The step is half a mode's width:
at δ = 0.1 a chain samples a mode 12 % too wide, the model learns it that much too narrow, and KL is three times as
large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from absynth.algorithms.improved_contrastive_divergence import ImageMoves, ImprovedContrastiveDivergence
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.density import EBM
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError
from absynth.gaussian import Gaussian, Whitened
from absynth.networks import ready
from absynth.networks.mlp import Activation, Scaled, mlp_f
from absynth.networks.ready import Network
from absynth.recipes._fields import (
    CHAINS,
    ColdChains,
    FinalShare,
    ImageOptions,
    TableOptions,
    TemperedChain,
    half_cosine,
)
from absynth.recipes._reference import fitted
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromData, FromNoise, Persistent, Start
from absynth.seeding import Streams, stream, uniform_like
from absynth.types import Batch, Reference, Sampler

HIDDEN = int.from_bytes(b"hide", "big")
"""Separates the choice of the hidden pixels of an image from all other noise of a seed."""

_SMALL: dict[str, Any] = {
    "steps": 1200, "checkpoint_every": 100, "energy_width": 32, "stem": 2, "chain_steps": 30, "data_noise": 0.05,
    "energy_lr": 5e-4, "final_share": 0.5,
}  # fmt: skip

PRESETS = {
    "mnist": Preset(minutes=5, recorded="short_run_mnist", **_SMALL),
    "fashion_mnist": Preset(minutes=5, **_SMALL),
    "cifar10/paper": Preset(source="Nijkamp et al. 2019 and their code", steps=100_000, energy_activation="leaky_relu"),
    "ring": Preset(minutes=1, recorded="ebm_ring"),
    "wide_ring": Preset(
        minutes=0.3, recorded="teaching_ring", steps=1000, batch=100, threads=1, start="noise", start_std=2.0,
        reference_std=3.0, hidden=2, energy_activation="silu", chain_steps=30, chain_step_size=0.1, energy_lr=1e-3,
        beta1=0.5, cosine=False, sample_rounds=1,
    ),
    "breast_cancer": Preset(
        minutes=0.5, steps=1500, batch=100, reference_std=1.0, energy_activation="silu", hidden=2, chain_steps=20,
        chain_step_size=0.1, chains=1000, data_noise=0.1, energy_lr=1e-3,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodRecipe(TemperedChain, Recipe):
    """Numbers of an EBM and of the chains that it learns from."""

    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "chains": 32}

    start: Literal["noise", "persistent", "data"] = "noise"
    """Chain initialization: fresh noise (short run), a replay buffer, the data (contrastive divergence)."""
    start_std: NonNegative = 0.0
    """Standard deviation of the noise that chains start from, with --start noise; 0 starts at the reference."""
    chains: Count = 10_000
    """Number of persistent chains in the replay buffer, with --start persistent."""
    restart: Share = 0.05
    """Probability that a persistent chain restarts from noise in an update."""
    reference_std: NonNegative = 0.0
    """Standard deviation of the Gaussian reference; 0: uniform on [−1, 1], of vectors on [−2, 2]."""
    reference: Literal["noise", "gaussian"] = "noise"
    """Reference p_0: noise as --reference-std says, or the Gaussian of the training examples, in whose coordinates the
    chains then run: give --temperature 1 and a step size of about 0.3."""
    sample_rounds: Count = 1
    """Number of times K steps run for a fresh sample; 1 is the short run, persistent models need more."""

    def _of(self, f: nn.Module, bound: float) -> MaximumLikelihood:
        """The algorithm with a network f and a flat reference up to a bound."""
        flat = Uniform(*self.shape, low=-bound, high=bound)
        reference: Reference = StandardNormal(*self.shape, std=self.reference_std) if self.reference_std else flat
        sampler: Sampler = self.sampler()
        if self.reference == "gaussian":
            reference = self._gaussian()
            sampler = Whitened(sampler, reference)
        start: Start = FromData()
        if self.start == "persistent":
            start = Persistent(self.chains, reference, self.restart, rng=stream(self.seed, 0, 0, CHAINS))
        elif self.start == "noise":
            start = FromNoise(StandardNormal(*self.shape, std=self.start_std) if self.start_std else reference)
        return self._learning()(
            EBM(f, reference), start=start, sampler=sampler, data_noise=self.data_noise,
            sample_rounds=self.sample_rounds,
        )  # fmt: skip

    def _gaussian(self) -> Gaussian:
        """The Gaussian of the training examples."""
        return fitted(self.examples, self.data_noise)

    def _learning(self) -> Callable[..., MaximumLikelihood]:
        return MaximumLikelihood


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodImages(FinalShare, ColdChains, ImageOptions, MaximumLikelihoodRecipe):
    """Energy-based model of images by maximum likelihood with short-run or persistent chains (Nijkamp et al. 2019)."""

    kinds = ("image",)

    steps: Count = 50_000
    batch: Count = 64
    learning: Literal["maximum_likelihood", "improved_cd"] = "maximum_likelihood"
    """Improved contrastive divergence (Du et al. 2021) adds its two terms, and moves in the replay buffer."""
    energy_network: Network = "conv"
    """Energy network: convolutions, or fully connected, which is far cheaper for small images."""
    stem: Literal[1, 2] = 1
    """Stride of f's first convolution; 2 is several times as fast, and lets f be wider."""
    chain_steps: Count = 100
    missing: Decay = 0.0
    """Share of the pixels that are hidden, always the same ones of an image: learning from incomplete data."""
    data_noise: NonNegative = 0.03
    beta1: Decay = 0.9
    guard_retries: Natural = 12
    """Roll-backs before training stops; the first and every second one only draws another random stream."""
    guard_learning_rate: Positive = 0.3
    """Factor on the learning rate, the one mitigation of a short run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learning == "improved_cd" and self.start != "persistent":
            raise InputError(f"improved_cd needs a replay buffer, got --start {self.start}: add --start persistent")

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start)
        return map(self.hide, found) if self.missing else found

    def hide(self, batch: Batch) -> Batch:
        """The batch with a share of its pixels unseen; which follow from (seed, image) alone."""
        assert batch.index is not None
        u = uniform_like(batch.x[:, :1], Streams(self.seed ^ HIDDEN, batch.index.tolist()))
        mask = (u >= self.missing).to(batch.x.dtype).expand_as(batch.x)
        return batch._replace(x=batch.x * mask, mask=mask)

    def algorithm(self) -> MaximumLikelihood:
        f = ready.energy(
            "image", self.shape, self.energy_width, act=self.energy_activation, network=self.energy_network,
            stem=self.stem,
        )  # fmt: skip
        return self._of(f, 1.0)

    def _gaussian(self) -> Gaussian:
        """That of what is seen of the training images, by expectation maximization where pixels are missing."""
        if not self.missing or not len(self.examples):
            return super()._gaussian()
        x = self.examples.all()
        seen = self.hide(Batch(x, index=torch.arange(len(x))))
        assert seen.mask is not None
        return Gaussian.fit_incomplete(seen.x, seen.mask)

    def _learning(self) -> Callable[..., MaximumLikelihood]:
        if self.learning == "improved_cd":
            return partial(ImprovedContrastiveDivergence, moves=ImageMoves())
        return MaximumLikelihood


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodVectors(TableOptions, MaximumLikelihoodRecipe):
    """Energy-based model of vectors by maximum likelihood: persistent, short-run or contrastive divergence."""

    kinds = ("toy", "table")

    steps: Count = 2500
    batch: Count = 500
    start: Literal["noise", "persistent", "data"] = "persistent"
    chains: Count = 5000
    restart: Share = 0.0
    hidden: Count = 3
    """Hidden layers of f."""
    energy_activation: Activation = "leaky_relu"
    leak: Positive = 0.05
    """Slope of a leaky ReLU."""
    input_scale: Positive = 1.0
    """f sees the data times this; smooth activations need about 3 on data of small scale."""
    chain_step_size: Positive = 0.07
    temperature: NonNegative = 1.0
    sample_rounds: Count = 50
    energy_lr: Positive = 3e-3
    beta1: Decay = 0.9
    cosine: bool = True
    """Whether the learning rate falls to 0 by a half cosine."""

    def algorithm(self) -> MaximumLikelihood:
        (dim,) = self.shape
        net = mlp_f(dim, self.energy_width, self.energy_activation, self.leak, hidden=self.hidden)
        return self._of(Scaled(net, self.input_scale), 2.0)

    def schedule(self, step: int) -> float:
        return half_cosine(step, self.steps) if self.cosine else 1.0
