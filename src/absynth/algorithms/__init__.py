"""One paper, one file, one class."""

from absynth.algorithms.algorithm import Algorithm, Chain
from absynth.algorithms.alternating_backprop import AlternatingBackprop
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.algorithms.cooperative import Cooperative
from absynth.algorithms.cycle_cooperative import CycleCooperative
from absynth.algorithms.cycle_sequences import CycleSequences
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.algorithms.divergence_triangle import DivergenceTriangle
from absynth.algorithms.dual_teaching import DualTeaching
from absynth.algorithms.improved_contrastive_divergence import ImprovedContrastiveDivergence
from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.algorithms.joint_vae import JointVAE
from absynth.algorithms.latent_belief import LatentBelief
from absynth.algorithms.latent_prior import LatentPrior
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.algorithms.multigrid import MultiGrid
from absynth.algorithms.symbol_vector import SymbolVector
from absynth.algorithms.vae import VAE
from absynth.algorithms.variational_teaching import VariationalTeaching

__all__ = [
    "VAE",
    "Algorithm",
    "AlternatingBackprop",
    "AmortizedLatentPrior",
    "Chain",
    "CoarseToFine",
    "ConditionalCooperative",
    "Cooperative",
    "CycleCooperative",
    "CycleSequences",
    "DiffusionRecovery",
    "DivergenceTriangle",
    "DualTeaching",
    "ImprovedContrastiveDivergence",
    "InformationBottleneck",
    "JointVAE",
    "LatentBelief",
    "LatentPrior",
    "MaximumLikelihood",
    "MultiGrid",
    "SymbolVector",
    "VariationalTeaching",
]
