"""Introspective learning: classifiers that learn from what the ones before them take for data (Lazarow, Jin, Tu 2017).

With labels it is class-wise (Jin, Lazarow, Tu 2017): pseudo-negatives of every class sharpen the classifier. Chains
start at the reference, the Gaussian of the training examples by default, and run at a low temperature, as the paper's
noise-free ascent does.
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

PRESETS = {
    "digits": Preset(minutes=0.5, recorded="introspective_digits", labels=100),
    "digits_table": Preset(minutes=0.5, labels=100),
    "mnist": Preset(minutes=3, labels=200, energy_width=400),
}


@dataclass(frozen=True, kw_only=True)
class IntrospectiveRecipe(ImageOptions, DataChain, FewLabels):
    """Introspective learning: a cascade of classifiers that draw their own negatives (Lazarow et al. 2017)."""

    kinds = ("image", "table")
    TINY: ClassVar[Mapping[str, Any]] = {**FewLabels.TINY, "negatives": 60, "stages": 2}

    steps: Count = 2000
    labelled_batch: Count = 99
    """Labelled examples per batch, drawn with repetition."""
    threads: Natural = 1
    stages: Count = 4
    """Number of classifiers in the cascade; the updates are shared evenly among them."""
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
    negative_weight: NonNegative = 1.0
    """Weight of pseudo-negatives; 0 is the classifier alone."""
    label_weight: NonNegative = 1.0
    """Weight of the softmax over classes."""
    energy_lr: Positive = 1e-3

    def resolve(self) -> Recipe:
        found = super().resolve()
        if self.steps < self.stages:
            raise InputError(f"expected at least one update per classifier, got --steps {self.steps} for {self.stages}")
        return found

    def algorithm(self) -> Introspective:
        nets = [
            classifier(
                self.examples.kind, self.shape, self.classes, self.energy_width, act=self.energy_activation,
                network=self.energy_network,
            )
            for _ in range(self.stages)
        ]  # fmt: skip
        noise = self.chain_step_size * math.sqrt(self.temperature)
        return Introspective(
            EBM(Cascade(nets), reference_of(self.reference, self.examples)),
            sampler=Langevin(self.chain_steps, self.chain_step_size, noise),
            negatives=self.negatives,
            shape=self.shape,
            classes=self.classes,
            negative_weight=self.negative_weight,
            label_weight=self.label_weight,
        )

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes
