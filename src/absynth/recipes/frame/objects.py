"""FRAME of aligned images of one kind of object: inhomogeneous, sparse, or on the filters of a network.

Numbers of the authors' code (Xie et al. 2014): Gabor filters at 16 orientations with |r| for potential, HMC of 3
transitions of 10 leapfrog steps of .03 at mass .1 in images of unit variance, 100 chains, 80 updates at rate .03.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.frame import Frame
from absynth.algorithms.sparse_frame import SparseFrame, shared_matching_pursuit
from absynth.data.order import minibatches
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.gaussian import Gaussian, Whitened
from absynth.networks.filters import gabor, laplacian_of_gaussian
from absynth.networks.statistics import ExponentialF, LocalResponses, Potential, WaveletResponses
from absynth.recipes._fields import CHAINS, FinalShare, ImageOptions
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import HMC, Persistent
from absynth.seeding import noise_like, stream
from absynth.types import Batch, Reference, Sampler

BLUR = int.from_bytes(b"blur", "big")
"""Separates the noise on the data from all other noise."""

PRESETS = {
    "mnist": Preset(minutes=1),
    "mnist/sparse": Preset(
        minutes=0.3, energy="sparse", chains=200, tracking_chains=40, steps=200, examples_used=200, gabor_scales=(0.4,)
    ),
}


@dataclass(frozen=True, kw_only=True)
class FrameObjects(FinalShare, ImageOptions, Recipe):
    """FRAME of aligned images: where which wavelets answer, with log Z (Xie, Hu, Zhu, Wu 2014)."""

    kinds = ("image",)
    TINY: ClassVar[dict[str, Any]] = {
        **Recipe.TINY, "limit": 400, "orientations": 2, "chain_steps": 1, "leapfrog_steps": 2, "chains": 8,
        "tracking_chains": 2, "wavelets": 12,
    }  # fmt: skip

    label: str = ""
    """Class to learn, by its name or number; empty: all images."""
    examples_used: Natural = 100
    """Number of training images of the class to use; 0 uses all."""
    steps: Count = 80
    batch: Count = 100
    threads: Natural = 1
    energy: Literal["dense", "sparse"] = "dense"
    """Every filter at every position, or a few wavelets chosen by shared matching pursuit."""
    wavelets: Count = 150
    """Number of wavelets of the sparse model."""
    gabor_scales: tuple[float, ...] = (0.4,)
    """Scales of the Gabor filters; a wave is 2π times as many pixels long."""
    orientations: Count = 8
    """Orientations of the Gabor filters."""
    potential: Potential = "rectified"
    """Statistics of a response r: |r| as in the papers, or both rectified halves, which keep its sign."""
    data_noise: NonNegative = 0.3
    """Standard deviation of noise added to images of variance 1; without, λ of constant places has no maximum."""
    response_scale: tuple[float, ...] = ()
    """Root mean square of each filter's response; found from the training images."""
    reference: Literal["standard", "gaussian"] = "standard"
    """p_0: N(0, σ² I), or the Gaussian of the training images with their noise, in whose coordinates chains run."""
    reference_std: Positive = 1.0
    """Standard deviation σ of the standard reference."""
    chains: Count = 50
    """Number of persistent chains; all move in each update."""
    tracking_chains: Natural = 0
    """Number of them that λ does not learn from, which track log Z without bias; with 0 all do both."""
    chain_steps: Count = 3
    """Number of HMC transitions per update."""
    chain_step_size: Positive = 0.1
    """Leapfrog step."""
    leapfrog_steps: Count = 10
    """Leapfrog steps per transition."""
    sample_rounds: Count = 30
    """Number of times an update's transitions run for a fresh sample."""
    energy_lr: Positive = 0.05
    """Learning rate of λ (Adam)."""
    beta1: Decay = 0.0
    """Adam's β1; 0.9 makes the path of λ, along which log Z is tracked, shorter."""
    final_share: Share = 0.5
    guard_difference: Positive = 1e4
    """An energy difference below this never counts as divergence; f sums over all positions."""
    guard_stability: Positive = 1e4
    """Largest δ²λ; |r| has a kink, and Hamiltonian Monte Carlo rejects what is unstable."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, FrameObjects)
        if found.shape[0] != 1:
            raise InputError(f"FRAME's filters see grey images, got {found.shape[0]} channels: give --channels 1")
        if found.label and not found.classes:
            raise InputError(
                f"expected images with classes for --label {found.label}, got none: leave it out, or give a folder "
                "with one sub-folder per class"
            )
        if found.response_scale or not len(found.examples):
            return found
        x = found.model_inputs(found.examples.batch(found.rows()).x)
        kernels = found.kernels()
        one = LocalResponses(kernels, found.shape[1:], torch.ones(len(kernels)))  # type: ignore[arg-type]
        scale = one.responses(x).square().mean((0, 2, 3)).sqrt().clamp(min=1e-3).tolist()
        return replace(found, response_scale=tuple(scale))

    def kernels(self) -> Float[Tensor, "n k k"]:
        """Laplacians of Gaussians and Gabor filters, centred in kernels of one side."""
        filters = [laplacian_of_gaussian(std) for std in (0.5, 1.0)]
        for scale in self.gabor_scales:
            for i in range(self.orientations):
                filters += gabor(scale, math.pi * i / self.orientations)
        side = max(map(len, filters))
        return torch.stack([F.pad(f, [(side - len(f)) // 2] * 4) for f in filters])

    def rows(self) -> Tensor:
        """The training images that are used."""
        data = self.examples
        rows = torch.arange(len(data))
        if self.label and data.labels is not None:
            known = list(data.class_names) or [str(k) for k in range(self.classes)]
            numbers = [str(k) for k in range(len(known))]
            if self.label not in known + numbers:
                raise InputError(f"expected --label of a class ({', '.join(known[:10])}), got {self.label}")
            label = known.index(self.label) if self.label in known else numbers.index(self.label)
            rows = (data.labels == label).nonzero()[:, 0]
        if len(rows) < 2:
            raise InputError(f"expected two images or more of class {self.label}, got {len(rows)}: give more images")
        order = torch.randperm(len(rows), generator=stream(self.seed, 0, 0, CHAINS))
        return rows[order[: self.examples_used or None]].sort().values

    def model_inputs(self, x: Tensor) -> Tensor:
        """Each image with mean 0 and variance 1."""
        return (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True).clamp(min=1e-6)

    def held_out(self, n: int) -> Tensor:
        return self.model_inputs(super().held_out(n))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        rows = self.rows()
        x = self.model_inputs(self.examples.batch(rows).x)
        for step, chosen in enumerate(minibatches(len(x), min(self.batch, len(x)), seed=self.seed, start=start), start):
            noise = noise_like(x[chosen], stream(self.seed, 0, step, BLUR))
            yield Batch(x[chosen] + self.data_noise * noise)

    def _gaussian(self) -> Gaussian:
        """The Gaussian of the training images with their noise; a stand-in where the data are not at hand."""
        if not len(self.examples):
            return Gaussian.standard(*self.shape)
        x = self.model_inputs(self.examples.batch(self.rows()).x)
        return Gaussian.fit(x + self.data_noise * noise_like(x, stream(self.seed, 0, 2, BLUR)))

    def algorithm(self) -> Frame:
        kernels = self.kernels()
        reference: Reference = StandardNormal(*self.shape, std=self.reference_std)
        sampler: Sampler = HMC(self.chain_steps, self.chain_step_size, leapfrog_steps=self.leapfrog_steps)
        if self.reference == "gaussian":
            reference = self._gaussian()
            sampler = Whitened(sampler, reference)
        start = Persistent(self.chains, reference, rng=stream(self.seed, 0, 1, CHAINS))
        scale = torch.tensor(self.response_scale) if self.response_scale else torch.ones(len(kernels))
        if self.energy == "dense":
            h = LocalResponses(kernels, self.shape[1:], scale, self.potential)  # type: ignore[arg-type]
            return Frame(
                EBM(ExponentialF(h, h.size), reference), start=start, sampler=sampler,
                sample_rounds=self.sample_rounds, tracking=self.tracking_chains,
            )  # fmt: skip
        if len(self.examples):
            x = self.model_inputs(self.examples.batch(self.rows()).x)
            wavelets = shared_matching_pursuit(x, kernels, self.wavelets)[0]
        else:  # the weights of a trained run hold the wavelets
            wavelets = torch.zeros(self.wavelets, *self.shape)
        chosen = WaveletResponses(wavelets, self.potential)
        return SparseFrame(
            EBM(ExponentialF(chosen, chosen.size), reference), start=start, sampler=sampler,
            sample_rounds=self.sample_rounds, tracking=self.tracking_chains,
        )  # fmt: skip

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        return {"ebm": Adam([algorithm.get_parameter("ebm.f.weight")], self.energy_lr, (self.beta1, 0.999))}
