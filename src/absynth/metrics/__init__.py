"""What a trained model is worth, in figures. A figure that depends on a feature space, a sign or an n says so."""

from absynth.metrics.features import Features, classifier_features, inception_features, pixel_features
from absynth.metrics.frechet import frechet, frechet_from_moments
from absynth.metrics.grid import Grid
from absynth.metrics.kernel import mmd, modes_hit
from absynth.metrics.ranking import Detection, detection, pca_reconstruction_error, precision_recall

__all__ = [
    "Detection",
    "Features",
    "Grid",
    "classifier_features",
    "detection",
    "frechet",
    "frechet_from_moments",
    "inception_features",
    "mmd",
    "modes_hit",
    "pca_reconstruction_error",
    "pixel_features",
    "precision_recall",
]
