"""One paper, one file, one class."""

from absynth.algorithms.algorithm import Algorithm, Chain
from absynth.algorithms.alternating_backprop import AlternatingBackprop
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.algorithms.cooperative import Cooperative
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.algorithms.dual_teaching import DualTeaching
from absynth.algorithms.improved_contrastive_divergence import ImprovedContrastiveDivergence
from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.algorithms.latent_prior import LatentPrior
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.algorithms.multigrid import MultiGrid
from absynth.algorithms.symbol_vector import SymbolVector

__all__ = [
    "Algorithm",
    "AlternatingBackprop",
    "AmortizedLatentPrior",
    "Chain",
    "CoarseToFine",
    "Cooperative",
    "DiffusionRecovery",
    "DualTeaching",
    "ImprovedContrastiveDivergence",
    "InformationBottleneck",
    "LatentPrior",
    "MaximumLikelihood",
    "MultiGrid",
    "SymbolVector",
]
