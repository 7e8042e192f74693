"""Estimators for scikit-learn: densities, outliers, few labels, missing entries and rare classes of tables."""

from absynth.sklearn.density import EBMDensity
from absynth.sklearn.detector import EBMDetector

__all__ = ["EBMDensity", "EBMDetector"]
