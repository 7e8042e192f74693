"""Maximum likelihood learning of an EBM of the data: short-run, persistent, contrastive divergence.

Maximum likelihood learning of an EBM of images (Nijkamp, Hill, Zhu, Wu, NeurIPS 2019, arXiv:1904.09770).

Numbers of the paper and its authors' code: 100 steps of x + ∇f + 0.01·ε from uniform noise, which is Langevin with
δ = √2 at temperature 5e-5, so f / 5e-5 is the log density that is sampled; no reference; width 64, data noise 0.03,
Adam at 1e-4. Here the activation is smooth by default, for its bounded curvature. The preset of MNIST is smaller:
K = 30 for 100, 1,200 updates for 100,000, width 32 behind a first convolution that halves the side.

Maximum likelihood learning of an EBM of vectors: toy sets and tables.

On eight Gaussians log Z is a sum over a grid, so KL(data ‖ model) is exact (``absynth reproduce ebm_ring``); the best
single Gaussian scores 1.0955 nats. The network matters more than how it is sampled: with exact gradients a leaky ReLU
network reaches .018 nats and a smooth one on unscaled inputs stays at .26, because the modes (std .15) are small
relative to the unit on which its units bend; ``--input-scale 3`` repairs that. The step is half a mode's width: at
δ = 0.1 a chain samples a mode 12 % too wide, the model learns it that much too narrow, and KL is three times as large.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.improved_contrastive_divergence import ImageMoves, ImprovedContrastiveDivergence
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.density import EBM
from absynth.distributions import StandardNormal, Uniform
from absynth.errors import InputError
from absynth.networks import ready
from absynth.networks.mlp import Activation, mlp_f
from absynth.networks.ready import Network
from absynth.recipes._optimizers import half_cosine, linear_end
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromData, FromNoise, Langevin, Persistent, Start
from absynth.seeding import Streams, stream, uniform_like
from absynth.types import Batch, Reference

CHAINS = int.from_bytes(b"bank", "big")
"""Separates the noise of the first persistent chains from a step's own."""

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
class MaximumLikelihoodImages(Recipe):
    """Energy-based model of images by maximum likelihood with short-run or persistent chains (Nijkamp et al. 2019)."""

    kinds = ("image",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "limit": 64, "energy_width": 4, "chain_steps": 3, "chains": 32}

    size: Natural = 0
    """Side of your images in pixels; 0 leaves them as found."""
    channels: Natural = 0
    """1 grey, 3 colour; 0 leaves them as found."""
    steps: Count = 50_000
    batch: Count = 64
    learning: Literal["maximum_likelihood", "improved_cd"] = "maximum_likelihood"
    """Improved contrastive divergence (Du et al. 2021) adds its two terms, and moves in the replay buffer."""
    start: Literal["noise", "persistent", "data"] = "noise"
    """Chain initialization: fresh noise (short run), a replay buffer, the data (contrastive divergence)."""
    chains: Count = 10_000
    """Number of persistent chains in the replay buffer, with --start persistent."""
    restart: Share = 0.05
    """Probability that a chain of the replay buffer restarts from noise in an update."""
    reference_std: NonNegative = 0.0
    """Standard deviation of the Gaussian reference, where chains then start too; 0: flat, and a uniform start."""
    energy_network: Network = "conv"
    """Energy network: convolutions, or fully connected, which is far cheaper for small images."""
    energy_width: Count = 64
    """Maps of f's first layer (n_f), or hidden units."""
    stem: Literal[1, 2] = 1
    """Stride of f's first convolution; 2 is several times as fast, and lets f be wider."""
    energy_activation: Activation = "silu"
    """Activation of f; the authors' leaky ReLU needs a smaller learning rate or more data noise."""
    chain_steps: Count = 100
    """Number of Langevin steps in an update and a sample (K)."""
    chain_step_size: Positive = math.sqrt(2)
    """Step size δ of x + (δ²/2)·score + δ√T·noise; for x + η∇f + s·noise it is √(2η)."""
    temperature: NonNegative = 5e-5
    """Temperature T that is sampled, s²/(2η); 1 is unadjusted Langevin."""
    sample_rounds: Count = 1
    """Number of times K steps run for a fresh sample; 1 is the short run, persistent models need more."""
    missing: Decay = 0.0
    """Share of the pixels that are hidden, always the same ones of an image: learning from incomplete data."""
    data_noise: NonNegative = 0.03
    """Standard deviation of noise added to the data; less is sharper, and less stable."""
    energy_lr: Positive = 1e-4
    """Learning rate (Adam)."""
    beta1: Decay = 0.9
    """Adam's β1; less damps the oscillation between learning and synthesis."""
    final_share: Share = 0.2
    """Share of the updates, at the end, in which the learning rate falls to 0."""
    guard_retries: Natural = 12
    """Roll-backs before training stops; the first and every second one only draws another random stream."""
    guard_step_size: Positive = 1.0
    """Left at 1: K shorter steps do not reach as far, and a short run that cannot follow f diverges sooner."""
    guard_learning_rate: Positive = 0.3
    """Factor on the learning rate, the one mitigation of a short run."""
    guard_difference: Positive = 20.0
    """An energy difference below this never counts as divergence: f grows before chains follow."""
    guard_stability: Positive = 100.0
    """Largest δ²λ; a chain at T = 5e-5 never comes near the equilibrium that it speaks of."""

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
        flat = Uniform(*self.shape)
        reference = StandardNormal(*self.shape, std=self.reference_std) if self.reference_std else flat
        f = ready.energy(
            "image",
            self.shape,
            self.energy_width,
            act=self.energy_activation,
            network=self.energy_network,
            stem=self.stem,
        )
        ebm, start = EBM(f, reference), self._start(reference)
        noise = self.chain_step_size * math.sqrt(self.temperature)
        sampler = Langevin(self.chain_steps, self.chain_step_size, noise)
        if isinstance(start, Persistent) and self.learning == "improved_cd":
            return ImprovedContrastiveDivergence(
                ebm, start=start, sampler=sampler, moves=ImageMoves(), data_noise=self.data_noise,
                sample_rounds=self.sample_rounds,
            )  # fmt: skip
        return MaximumLikelihood(
            ebm, start=start, sampler=sampler, data_noise=self.data_noise, sample_rounds=self.sample_rounds
        )

    def _start(self, reference: Reference) -> Start:
        if self.start == "persistent":
            return Persistent(self.chains, reference, self.restart, rng=stream(self.seed, 0, 0, CHAINS))
        return FromNoise(reference) if self.start == "noise" else FromData()

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.energy_lr, (self.beta1, 0.999))}

    def schedule(self, step: int) -> float:
        return linear_end(step, self.steps, self.final_share)


class Scaled(nn.Module):
    """x ↦ net(scale · x)."""

    def __init__(self, net: nn.Module, scale: float) -> None:
        super().__init__()
        self.net, self.scale = net, scale

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}"

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.scale * x)


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihoodVectors(Recipe):
    """Energy-based model of vectors by maximum likelihood: persistent, short-run or contrastive divergence."""

    kinds = ("toy", "table")
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "energy_width": 8, "chain_steps": 3, "chains": 20}

    target: str = ""
    """Column of a table that holds classes; empty: none."""
    steps: Count = 2500
    batch: Count = 500
    start: Literal["noise", "persistent", "data"] = "persistent"
    """Chain initialization: fresh noise (short run), a replay buffer, the data (contrastive divergence)."""
    start_std: Positive = 1.0
    """Standard deviation of the noise that chains start from, with --start noise and a flat reference."""
    chains: Count = 5000
    """Number of persistent chains."""
    restart: Share = 0.0
    """Probability that a persistent chain restarts from noise in an update."""
    reference_std: NonNegative = 0.0
    """Standard deviation of the Gaussian reference; 0: uniform on [−2, 2] per coordinate."""
    energy_width: Count = 64
    """Hidden units of each of f's hidden layers."""
    hidden: Count = 3
    """Hidden layers of f."""
    energy_activation: Activation = "leaky_relu"
    """Activation of f."""
    leak: Positive = 0.05
    """Slope of a leaky ReLU."""
    input_scale: Positive = 1.0
    """f sees the data times this; smooth activations need about 3 on data of small scale."""
    chain_steps: Count = 15
    """Number of Langevin steps per update (K)."""
    chain_step_size: Positive = 0.07
    """Step size δ of x + (δ²/2)·score + δ√T·noise."""
    temperature: NonNegative = 1.0
    """Temperature T that is sampled; 1 is unadjusted Langevin."""
    sample_rounds: Count = 50
    """Number of times K steps run for a fresh sample."""
    data_noise: NonNegative = 0.0
    """Standard deviation of noise added to the data; tables with constant or discrete columns need some."""
    energy_lr: Positive = 3e-3
    """Learning rate (Adam)."""
    beta1: Decay = 0.9
    """Adam's β1."""
    cosine: bool = True
    """Whether the learning rate falls to 0 by a half cosine."""

    def algorithm(self) -> MaximumLikelihood:
        (dim,) = self.shape
        flat = Uniform(dim, low=-2.0, high=2.0)
        reference = StandardNormal(dim, std=self.reference_std) if self.reference_std else flat
        net: nn.Module = mlp_f(dim, self.energy_width, self.energy_activation, self.leak, hidden=self.hidden)
        noise = None if self.temperature == 1 else self.chain_step_size * math.sqrt(self.temperature)
        return MaximumLikelihood(
            EBM(Scaled(net, self.input_scale), reference),
            start=self._start(dim, reference),
            sampler=Langevin(self.chain_steps, self.chain_step_size, noise),
            data_noise=self.data_noise,
            sample_rounds=self.sample_rounds,
        )

    def _start(self, dim: int, reference: StandardNormal | Uniform) -> Start:
        if self.start == "persistent":
            return Persistent(self.chains, reference, self.restart, rng=stream(self.seed, 0, 0, CHAINS))
        return FromNoise(StandardNormal(dim, std=self.start_std)) if self.start == "noise" else FromData()

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"ebm": Adam(algorithm.get_submodule("ebm").parameters(), self.energy_lr, (self.beta1, 0.999))}

    def schedule(self, step: int) -> float:
        return half_cosine(step, self.steps) if self.cosine else 1.0
