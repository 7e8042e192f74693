"""Label to digit by conditional variational MCMC teaching, small networks."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.recipes._teaching_mnist import TeachingMNIST
from absynth.recipes.variational_teaching_labels import VariationalTeachingLabels


@dataclass(frozen=True, kw_only=True)
class VariationalTeachingLabelsMNIST(TeachingMNIST, VariationalTeachingLabels):
    """Conditional variational MCMC teaching on MNIST, label to digit, small networks."""

    steps: int = 2000
