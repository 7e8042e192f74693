"""Estimators for scikit-learn: densities, outliers, few labels, missing entries and rare classes of tables."""

from absynth.sklearn.classifier import JEMClassifier
from absynth.sklearn.density import EBMDensity
from absynth.sklearn.detector import EBMDetector
from absynth.sklearn.imputer import EBMImputer
from absynth.sklearn.latent_detector import LatentEBMDetector
from absynth.sklearn.pyod import PyODView
from absynth.sklearn.sampler import EBMSampler

__all__ = ["EBMDensity", "EBMDetector", "EBMImputer", "EBMSampler", "JEMClassifier", "LatentEBMDetector", "PyODView"]
