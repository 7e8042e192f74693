"""One paper, one file, one class."""

from absynth.algorithms.algorithm import Algorithm, Chain
from absynth.algorithms.alternating_backprop import AlternatingBackprop
from absynth.algorithms.latent_prior import LatentPrior

__all__ = ["Algorithm", "AlternatingBackprop", "Chain", "LatentPrior"]
