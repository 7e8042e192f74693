"""Outlier detection in tables by trimmed energy discrepancy: an ensemble of small networks, no chains, seconds.

The same model as :class:`absynth.sklearn.EBMDetector`, which also takes missing entries. Settings were chosen on twelve
tables of anomaly detection (``absynth reproduce detector_tables``); what matters is small noise and trimming.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch.optim import AdamW, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.perturbations import GaussianNoise
from absynth.algorithms.trimmed_ensemble import HeavyTails, TrimmedEnsemble
from absynth.errors import InputError
from absynth.networks.ensemble import Ensemble
from absynth.recipes._fields import half_cosine
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe

PRESETS = {
    "breast_cancer": Preset(minutes=0.1, trim=0.4),
    "wine": Preset(minutes=0.1),
    "digits_table": Preset(minutes=0.1, noise=0.5),
}


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe(Recipe):
    """Outlier detection in tables by an energy of the bulk of the rows (energy discrepancy, Schröder et al. 2023)."""

    kinds = ("table",)
    first_task = "detect"
    TINY: ClassVar[dict] = {**Recipe.TINY, "energy_width": 8, "members": 2}

    target: str = ""
    """Column of classes, which is not scored. Defaults to the last one if it looks like classes; none scores all."""
    steps: Count = 600
    batch: Count = 256
    values_per_step: Positive = 8.0
    """Values of the table per update at least: a small table gets fewer updates, down to 100."""
    members: Count = 3
    """Number of networks, whose log densities are averaged."""
    energy_width: Count = 96
    """Units of the two hidden layers of each network."""
    noise: Positive = 0.2
    """Variance of the noise that rows are compared with, in units of each column's variance."""
    contrasts: Count = 4
    """Perturbed rows that each row is compared with."""
    trim: Decay = 0.25
    """Share of each batch, the least probable, that is not learned from; above the share of outliers."""
    energy_lr: Positive = 3e-3
    """Learning rate (AdamW), with a warm-up and a half cosine to 0."""
    weight_decay: NonNegative = 1e-3
    """Weight decay."""
    threads: int = 1
    log_every: Count = 20

    def resolve(self) -> Recipe:
        made = super().resolve()
        if len(made.examples) == 1:
            raise InputError(f"expected at least 2 rows to learn from, got 1 in {made.examples.name}: give more")
        values = len(made.examples) * made.shape[0]
        few = max(100, int(values / self.values_per_step)) if values else self.steps
        rows = len(made.examples) or self.batch
        return replace(made, steps=min(self.steps, few), batch=min(self.batch, rows))

    def algorithm(self) -> Algorithm:
        columns = self.shape[0]
        net = Ensemble(columns, self.energy_width, self.members)
        reference = HeavyTails(torch.ones(columns))
        return TrimmedEnsemble(
            net, reference, perturb=GaussianNoise(self.noise), trim=self.trim, contrasts=self.contrasts
        )

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        parameters = algorithm.get_submodule("ebm").parameters()
        return {"ebm": AdamW(parameters, self.energy_lr, betas=(0.9, 0.99), weight_decay=self.weight_decay)}

    def schedule(self, step: int) -> float:
        return min(1.0, (step + 1) / 20) * half_cosine(step, self.steps)
