"""Joint energy models: a classifier that is a density of the data too (Grathwohl et al., ICLR 2020, arXiv:1912.03263).

Numbers of the paper and its authors' code: logits of WRN-28-10 without normalization, 20 steps of x + ∇f + 0.01·ε,
replay buffer of 10,000 with 5 % restarts, data noise 0.03, batch 64, Adam at 1e-4. Here x + 0.1·∇f + 0.03·ε, which is
Langevin with δ = √.2 at temperature .0045, and chains start at the Gaussian of all examples, labelled or not: with few
labels that serves better than the class-conditional Gaussians of JEM++ (``--start classes``) and than uniform noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from absynth.algorithms.joint_energy import JointEnergy
from absynth.algorithms.symbol_vector import SymbolF
from absynth.density import EBM
from absynth.gaussian import Gaussian, GaussianMixture, Whitened
from absynth.networks.classifier import classifier
from absynth.networks.ready import Network
from absynth.recipes._few_labels import FewLabels
from absynth.recipes._fields import CHAINS, ColdChains, FinalShare, ImageOptions, TemperedChain
from absynth.recipes._reference import ReferenceName, fitted, reference_of
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive, Share
from absynth.recipes.presets import Preset
from absynth.samplers import Persistent
from absynth.seeding import stream
from absynth.types import Reference

PRESETS = {
    "digits": Preset(minutes=1, recorded="joint_energy_digits", labels=50, steps=4000, label_weight=3.0),
    "digits_table": Preset(minutes=0.5, labels=50, data_noise=0.1),
    "mnist": Preset(minutes=1, recorded="joint_energy_mnist", labels=100, steps=800, energy_width=200),
}


@dataclass(frozen=True, kw_only=True)
class JointEnergyRecipe(FinalShare, ColdChains, ImageOptions, TemperedChain, FewLabels):
    """Joint energy model: one network classifies and is a density (Grathwohl et al. 2020)."""

    kinds = ("image", "table")

    steps: Count = 1500
    threads: Natural = 1
    energy_network: Network = "mlp"
    """Fully connected or convolutional, for images."""
    energy_width: Count = 128
    reference: ReferenceName = "flat"
    """p_0: flat, a standard Gaussian, or the Gaussian of the training examples."""
    start: Literal["gaussian", "classes", "noise"] = "gaussian"
    """Chain initialization: the Gaussian of all examples, one Gaussian per class, or noise."""
    chains: Count = 2000
    """Number of persistent chains."""
    restart: Share = 0.05
    """Probability that a chain restarts in an update."""
    chain_steps: Count = 20
    chain_step_size: Positive = math.sqrt(0.2)
    temperature: NonNegative = 0.0045
    sample_rounds: Count = 5
    """Number of times K steps run for a fresh sample."""
    data_noise: NonNegative = 0.05
    label_weight: NonNegative = 1.0
    """Weight λ of a labelled example's log p(y|x)."""
    density_weight: NonNegative = 1.0
    """Weight of log p(x); 0 is the classifier alone, by cross-entropy."""
    penalty: NonNegative = 0.01
    """Weight of f(x)², which keeps f of data and of chains from growing together."""
    energy_lr: Positive = 1e-3
    beta1: Decay = 0.9
    final_share: Share = 0.5

    def algorithm(self) -> JointEnergy:
        net = classifier(
            self.examples.kind, self.shape, self.classes, self.energy_width, act=self.energy_activation,
            network=self.energy_network,
        )  # fmt: skip
        start = Persistent(self.chains, self._start(), self.restart, rng=stream(self.seed, 0, 0, CHAINS))
        reference, sampler = reference_of(self.reference, self.examples), self.sampler()
        return JointEnergy(
            EBM(SymbolF(net), reference),
            start=start,
            # Directions in which the Gaussian is narrow would make steps of one size diverge.
            sampler=Whitened(sampler, reference) if isinstance(reference, Gaussian) else sampler,
            data_noise=self.data_noise,
            sample_rounds=self.sample_rounds,
            label_weight=self.label_weight,
            density_weight=self.density_weight,
            penalty=self.penalty,
        )

    def _start(self) -> Reference:
        data = self.examples
        if self.start == "noise":
            return reference_of("standard" if data.kind == "table" else "flat", data)
        if self.start == "gaussian":
            return fitted(data)
        if not len(data):
            return GaussianMixture.standard(self.classes, *self.shape)
        rows, y = self.labelled_rows(), data.labels
        assert y is not None
        return GaussianMixture.fit(data.batch(rows).x, y[rows], self.classes)

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes
