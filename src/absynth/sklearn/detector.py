"""Outlier detection: a trimmed energy, learned from unlabelled rows of which some are outliers."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, no_type_check

import numpy as np
import torch
from sklearn.base import OutlierMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from absynth.algorithms.perturbations import MixedColumns
from absynth.algorithms.trimmed_ensemble import HeavyTails, TrimmedEnsemble
from absynth.density import EBM
from absynth.networks.ensemble import Ensemble
from absynth.sklearn.base import TableEstimator
from absynth.sklearn.columns import Columns
from absynth.sklearn.fitting import chunks, default_steps, train
from absynth.sklearn.pyod import PyODView
from absynth.tasks.attribution import contributions


class ScoredDetector(OutlierMixin, TableEstimator):
    """What detectors share: an offset at the stated contamination, and who lies below it."""

    def _set_offset(self, scores: np.ndarray, weights: np.ndarray) -> None:
        """The score that ``contamination`` of the training rows lie below."""
        share = 0.1 if self.contamination == "auto" else self.contamination  # type: ignore[attr-defined]
        order = np.argsort(scores, kind="stable")
        ranked, below = scores[order], np.cumsum(weights[order])
        count = int(np.searchsorted(below, share * below[-1] * (1 + 1e-12), side="right"))
        edges = np.concatenate([[ranked[0] - 1e-6 * (1 + abs(ranked[0]))], ranked])
        self.offset_ = float((edges[count] + edges[min(count + 1, len(ranked))]) / 2)

    def score_samples(self, X: Any) -> np.ndarray:
        """Log density of each row up to a constant; the lower, the more abnormal."""
        raise NotImplementedError

    def decision_function(self, X: Any) -> np.ndarray:
        """``score_samples(X) - offset_``: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """1 for inliers and −1 for outliers."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def pyod(self) -> PyODView:
        """A view in the manner of PyOD: scores of the opposite sign (higher is more abnormal), labels 0 and 1."""
        return PyODView(self)


class EBMDetector(ScoredDetector):
    """Outlier detection by an energy-based model of the bulk of the rows.

    Small networks learn the log density of the rows by energy discrepancy, without chains. In each update a share
    ``trim`` of the rows, those that a network finds least probable, is left out, so that outliers among the training
    rows teach little. The energy is then that of the bulk of the data: use :class:`EBMDensity` for likelihoods.

    Args:
        contamination: Share of outliers that sets ``offset_``; "auto" is 0.1. It changes no score.
        trim: Share of each batch that is left out. Choose it above the share of outliers.
        noise: Variance of the noise that data are compared with, in units of each column's variance.
        jump: Probability that a categorical column is drawn anew in the comparison.
        width: Units of the two hidden layers.
        members: Number of networks, whose log densities are averaged.
        steps: Number of updates; None follows from the number of rows.
        minutes: Time at most; fewer updates are made if they would take longer.
        random_state: Seed, RandomState or None.

    Attributes:
        offset_: ``decision_function`` is ``score_samples`` minus this.
        ebm_: The energy-based model, on the matrix that ``columns_`` makes.
        columns_: Standardization and categories.
        n_steps_: Number of updates made.
        n_features_in_, feature_names_in_: As in scikit-learn.

    Reference: Schröder et al., NeurIPS 2023 (energy discrepancy).

    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> detector = EBMDetector(random_state=0).fit(X)
    >>> detector.predict([[0.0, 0.0], [9.0, -9.0]])
    array([ 1, -1])
    """

    _networks = ("ebm_",)
    _parameter_constraints = {  # noqa: RUF012
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "trim": [Interval(Real, 0, 1, closed="left")],
        "noise": [Interval(Real, 0, None, closed="neither")],
        "jump": [Interval(Real, 0, 1, closed="right")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "members": [Interval(Integral, 1, None, closed="left")],
        "steps": [None, Interval(Integral, 1, None, closed="left")],
        "minutes": [None, Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    @no_type_check  # scikit-learn: parameters are checked in fit
    def __init__(
        self,
        *,
        contamination: int | float | str = "auto",
        trim: float = 0.25,
        noise: float = 0.2,
        jump: float = 0.2,
        width: int = 96,
        members: int = 3,
        steps: int | None = None,
        minutes: int | float | None = None,
        random_state: Any = None,
    ) -> None:
        self.contamination = contamination
        self.trim = trim
        self.noise = noise
        self.jump = jump
        self.width = width
        self.members = members
        self.steps = steps
        self.minutes = minutes
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> EBMDetector:
        """Learn from rows, some of which may be outliers.

        Args:
            X: Array or DataFrame ``[n, p]``; missing entries are NaN.
            y: Ignored, for scikit-learn's sake.
            sample_weight: How often each row counts.
        """
        self._validate_params()
        rows, weights, _ = self._merged(self._rows(X, reset=True), sample_weight)
        self.columns_ = Columns.of(rows, self._categories, weights)
        x = torch.from_numpy(self.columns_.fill(self.columns_.encode(rows)))
        mean = np.average(x.numpy(), axis=0, weights=weights)
        var = np.average((x.numpy() - mean) ** 2, axis=0, weights=weights)
        self.scale_ = np.sqrt(0.9 * var + 0.1 * var.mean() + 1e-3)
        seed = self._seed()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build()
        self._train(x, weights, self.steps or default_steps(x), seed)
        self._set_offset(self._scores(x), weights)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> EBMDetector:
        """Continue on further rows: a quarter of the updates of ``fit``, at a constant learning rate.

        Columns stay standardized as by the first rows; ``offset_`` follows the latest. The first call is ``fit``.
        """
        if not hasattr(self, "ebm_"):
            return self.fit(X, y, sample_weight)
        self._validate_params()
        rows, weights, _ = self._merged(self._rows(X), sample_weight)
        x = torch.from_numpy(self.columns_.fill(self.columns_.encode(rows)))
        self._train(x, weights, max(1, (self.steps or default_steps(x)) // 4), self._seed(), last=False)
        self._set_offset(self._scores(x), weights)
        return self

    def _build(self) -> None:
        width = self.columns_.width
        reference = HeavyTails(torch.from_numpy(self.scale_))
        self.ebm_ = EBM(Ensemble(width, self.width, self.members), reference).double()

    def _train(self, x: torch.Tensor, weights: np.ndarray, steps: int, seed: int, last: bool = True) -> None:
        columns = self.columns_
        ebm = self.ebm_.float()
        perturb = MixedColumns(columns.numbers, columns.sizes, self.noise, self.jump)
        algorithm = TrimmedEnsemble(ebm.f, ebm.reference, perturb=perturb, trim=self.trim)  # type: ignore[arg-type]
        lr = 3e-3 if last else 1e-3
        self.n_steps_ = getattr(self, "n_steps_", 0) * (not last) + train(
            algorithm, x.float(), weights, steps=steps, minutes=self.minutes, seed=seed, lr=lr, cosine=last
        )
        self.ebm_.double()

    def _scores(self, x: torch.Tensor) -> np.ndarray:
        return chunks(self.ebm_().log_density, x).numpy()

    def score_samples(self, X: Any) -> np.ndarray:
        """Log density of each row up to a constant; the lower, the more abnormal."""
        check_is_fitted(self)
        return self._scores(self._matrix(X))

    def contributions(self, X: Any) -> np.ndarray:
        """How much of each row's energy each column accounts for, ``[n, p]``.

        The gradient of the energy, integrated along the straight line from a typical row: the contributions of a row
        add up to its energy minus that of the typical row (integrated gradients, Sundararajan et al., ICML 2017).
        """
        check_is_fitted(self)
        start = torch.from_numpy(self.columns_.fills)
        each = contributions(self.ebm_().log_density, self._matrix(X), start).numpy()
        owner = self.columns_.owner
        return np.stack([each[:, owner == j].sum(1) for j in range(len(self.columns_.categories))], 1)
