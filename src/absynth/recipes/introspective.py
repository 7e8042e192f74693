"""Introspective learning: classifiers that learn from what the ones before them take for data (Lazarow, Jin, Tu 2017).

It is class-wise (Jin, Lazarow, Tu 2017): pseudo-negatives of every class sharpen the classifier. As in that paper there
is one classifier, it draws pseudo-negatives in several rounds and keeps them all, and they have a small weight; a
cascade as in the generative papers (preset ``digits/cascade``) makes better samples and classifies worse. Chains start
at the reference, the Gaussian of the training examples by default, in whose coordinates they run, at a low temperature,
as the paper's noise-free ascent does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from absynth.algorithms.introspective import Introspective
from absynth.density import EBM
from absynth.errors import InputError
from absynth.gaussian import Gaussian, Whitened
from absynth.networks.classifier import classifier
from absynth.networks.heads import Cascade
from absynth.networks.ready import Network
from absynth.recipes._few_labels import FewLabels
from absynth.recipes._fields import DataChain, ImageOptions
from absynth.recipes._reference import ReferenceName, reference_of
from absynth.recipes.bounds import Count, Natural, NonNegative, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin
from absynth.types import Sampler

PRESETS = {
    "digits": Preset(minutes=0.5, recorded="introspective_digits", labels=100),
    "digits/cascade": Preset(
        minutes=1,
        labels=100,
        stages=4,
        rounds=1,
        negative_weight=1.0,
        positive_weight=1.0,
    ),
    "digits_table": Preset(minutes=0.5, labels=100),
    "mnist": Preset(minutes=3, labels=200, energy_width=400),
}


@dataclass(frozen=True, kw_only=True)
class IntrospectiveRecipe(ImageOptions, DataChain, FewLabels):
    """Introspective learning: a cascade of classifiers that draw their own negatives (Lazarow et al. 2017)."""

    kinds = ("image", "table")
    TINY: ClassVar[Mapping[str, Any]] = {**FewLabels.TINY, "negatives": 60, "rounds": 1}

    steps: Count = 2000
    labelled_batch: Count = 99
    """Labelled examples per batch, drawn with repetition."""
    threads: Natural = 1
    stages: Count = 1
    """Number of classifiers in the cascade; the updates are shared evenly among them."""
    rounds: Count = 10
    """Number of times a classifier draws pseudo-negatives, a share of them each time; it keeps those of earlier
    rounds."""
    negatives: Count = 2000
    """Number of pseudo-negatives of each classifier, of all classes in turn."""
    energy_network: Network = "mlp"
    """Fully connected or convolutional, for images."""
    energy_width: Count = 128
    reference: ReferenceName = "gaussian"
    """p_0, the first negatives: the Gaussian of the training examples, a standard Gaussian, or flat noise."""
    chain_steps: Count = 50
    chain_step_size: Positive = 0.3
    temperature: NonNegative = 0.0045
    """Temperature T of the chains."""
    negative_weight: NonNegative = 0.1
    """Weight of pseudo-negatives; 0 is the classifier alone."""
    positive_weight: NonNegative = 0.0
    """Weight of telling data from pseudo-negatives on the data's side, relative to theirs; a cascade needs 1."""
    energy_lr: Positive = 1e-3

    def resolve(self) -> Recipe:
        found = super().resolve()
        if self.steps < self.stages * self.rounds:
            raise InputError(
                f"expected at least one update per round of each classifier, got --steps {self.steps} for "
                f"{self.stages} × {self.rounds}"
            )
        return found

    def algorithm(self) -> Introspective:
        nets = [
            classifier(
                self.examples.kind, self.shape, self.classes, self.energy_width, act=self.energy_activation,
                network=self.energy_network,
            )
            for _ in range(self.stages)
        ]  # fmt: skip
        reference = reference_of(self.reference, self.examples)
        sampler: Sampler = Langevin(
            self.chain_steps, self.chain_step_size, self.chain_step_size * math.sqrt(self.temperature)
        )
        if isinstance(reference, Gaussian):  # directions in which it is narrow would make steps of one size diverge
            sampler = Whitened(sampler, reference)
        return Introspective(
            EBM(Cascade(nets), reference),
            sampler=sampler,
            negatives=self.negatives,
            shape=self.shape,
            classes=self.classes,
            rounds=self.rounds,
            negative_weight=self.negative_weight,
            positive_weight=self.positive_weight,
        )

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes
