"""Classifier two-sample test: can a classifier tell samples from data? At an accuracy of 1/2 it cannot.

Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017, arXiv:1610.06545. The classifier learns from
one half of both sets and is tested on the other; if both have one law its number of hits is Binomial(n, 1/2), whatever
it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from scipy.stats import binom
from torch import Tensor

from absynth.errors import InputError
from absynth.metrics.ranking import detection
from absynth.seeding import stream


@runtime_checkable
class Classifier(Protocol):
    """A scikit-learn classifier."""

    def fit(self, x, y): ...
    def predict_proba(self, x): ...


@dataclass(frozen=True)
class TwoSampleTest:
    """The outcome of a classifier two-sample test.

    Attributes:
        accuracy: Share of right guesses on the held-out half; 1/2 if the two laws are equal.
        auroc: Area under its ROC curve on the held-out half; 1/2 if the two laws are equal.
        p_value: Probability of that accuracy or a higher one if the two laws are equal (exact).
        n: Number of held-out examples.
    """

    accuracy: float
    auroc: float
    p_value: float
    n: int


def classifier_two_sample_test(
    a: Float[Tensor, "n *event"],
    b: Float[Tensor, "m *event"],
    *,
    classifier: Classifier | None = None,
    seed: int = 0,
) -> TwoSampleTest:
    """Train a classifier to tell two sets of independent examples apart and test it on held-out halves.

    Args:
        a: One set; rows are examples.
        b: The other. The larger set is cut to the size of the smaller.
        classifier: Classifier with ``fit`` and ``predict_proba``. Defaults to gradient-boosted trees of scikit-learn.
        seed: Seed of the split and of the default classifier.

    Returns:
        Accuracy, AUROC, exact p value and size of the held-out half.

    Raises:
        InputError: The examples differ in size, or a set has fewer than four.
    """
    a, b = a.detach().flatten(1).cpu(), b.detach().flatten(1).cpu()
    if a.shape[1] != b.shape[1]:
        raise InputError(f"expected two sets of examples of one size, got {a.shape[1]} and {b.shape[1]} entries")
    n = min(len(a), len(b))
    if n < 4:
        raise InputError(f"expected four examples or more in each set, got {len(a)} and {len(b)}")
    if classifier is None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        classifier = HistGradientBoostingClassifier(random_state=seed, early_stopping=False)
    rng = stream(seed)
    a, b = (x[torch.randperm(len(x), generator=rng)[:n]] for x in (a, b))
    half = n // 2
    learn, test = torch.cat([a[:half], b[:half]]), torch.cat([a[half:], b[half:]])
    truth = torch.arange(2).repeat_interleave(n - half)
    classifier.fit(learn.numpy(), torch.arange(2).repeat_interleave(half).numpy())
    guess = torch.as_tensor(classifier.predict_proba(test.numpy()))[:, 1].double()
    # A guess of exactly 1/2 counts by the parity of its position, so that it helps neither class.
    says_b = torch.where(guess == 0.5, torch.arange(len(guess)) % 2 == 0, guess > 0.5)
    hits = int((says_b == truth.bool()).sum())
    area = detection(guess, truth.bool()).auroc
    return TwoSampleTest(hits / len(truth), area, float(binom.sf(hits - 1, len(truth), 0.5)), len(truth))
