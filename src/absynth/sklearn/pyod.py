"""Detectors in the manner of PyOD: scores of the opposite sign, labels 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError


class PyODView:
    """A detector with PyOD's names.

    ``decision_function`` is *minus* scikit-learn's score: higher is more abnormal; ``predict`` gives 1 for outliers and
    0 for inliers, where scikit-learn gives −1 and 1.

    Args:
        detector: A fitted or unfitted detector of this package.
    """

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    def fit(self, X: Any, y: Any = None) -> PyODView:
        """Fit the detector and score the training rows."""
        self.detector.fit(X)
        self.decision_scores_ = self.decision_function(X)
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(int)
        return self

    @property
    def threshold_(self) -> float:
        """Score above which a row is an outlier."""
        return -self.detector.offset_

    @property
    def contamination(self) -> float:
        """Share of outliers that sets the threshold."""
        return 0.1 if self.detector.contamination == "auto" else self.detector.contamination

    def decision_function(self, X: Any) -> np.ndarray:
        """Energy of each row: higher is more abnormal."""
        return -self.detector.score_samples(X)

    def predict(self, X: Any) -> np.ndarray:
        """1 for outliers, 0 for inliers."""
        return (self.decision_function(X) > self.threshold_).astype(int)

    def predict_proba(self, X: Any) -> np.ndarray:
        """PyOD's linear scaling of the scores to [0, 1], by the range of the training scores: ``[n, 2]``.

        Raises:
            NotFittedError: The view was not fitted, so that there are no training scores.
        """
        if not hasattr(self, "decision_scores_"):
            raise NotFittedError("expected scores of training rows, got a view that was not fitted: call its fit")
        low, high = self.decision_scores_.min(), self.decision_scores_.max()
        outlier = np.clip((self.decision_function(X) - low) / max(high - low, 1e-12), 0, 1)
        return np.stack([1 - outlier, outlier], 1)
