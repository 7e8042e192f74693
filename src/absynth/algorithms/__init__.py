"""One paper, one file, one class."""

from absynth.algorithms.algorithm import Algorithm, ChainRecord
from absynth.algorithms.alternating_backprop import AlternatingBackprop
from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.algorithms.chain import AnomalyScores, Chain, Projection, Translation
from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.algorithms.cooperative import Cooperative
from absynth.algorithms.cycle_cooperative import CycleCooperative
from absynth.algorithms.cycle_sequences import CycleSequences
from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.algorithms.divergence_triangle import DivergenceTriangle
from absynth.algorithms.dual_teaching import DualTeaching
from absynth.algorithms.energy_discrepancy import EnergyDiscrepancy
from absynth.algorithms.filter_pursuit import FilterPursuit
from absynth.algorithms.frame import Frame
from absynth.algorithms.generator_model import GeneratorModel
from absynth.algorithms.improved_contrastive_divergence import ImprovedContrastiveDivergence
from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.algorithms.introspective import Introspective
from absynth.algorithms.joint_energy import JointEnergy
from absynth.algorithms.joint_vae import JointVAE
from absynth.algorithms.latent_belief import LatentBelief
from absynth.algorithms.latent_prior import LatentPrior
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.algorithms.multigrid import MultiGrid
from absynth.algorithms.noise_contrastive import NoiseContrastive
from absynth.algorithms.short_run import ShortRun
from absynth.algorithms.sparse_frame import SparseFrame
from absynth.algorithms.symbol_vector import SymbolVector
from absynth.algorithms.texture_pyramid import TexturePyramid
from absynth.algorithms.vae import VAE
from absynth.algorithms.variational_teaching import VariationalTeaching

__all__ = [
    "VAE",
    "Algorithm",
    "AlternatingBackprop",
    "AmortizedLatentPrior",
    "AnomalyScores",
    "Chain",
    "ChainRecord",
    "CoarseToFine",
    "ConditionalCooperative",
    "Cooperative",
    "CycleCooperative",
    "CycleSequences",
    "DiffusionRecovery",
    "DivergenceTriangle",
    "DualTeaching",
    "EnergyDiscrepancy",
    "FilterPursuit",
    "Frame",
    "GeneratorModel",
    "ImprovedContrastiveDivergence",
    "InformationBottleneck",
    "Introspective",
    "JointEnergy",
    "JointVAE",
    "LatentBelief",
    "LatentPrior",
    "MaximumLikelihood",
    "MultiGrid",
    "NoiseContrastive",
    "Projection",
    "ShortRun",
    "SparseFrame",
    "SymbolVector",
    "TexturePyramid",
    "Translation",
    "VariationalTeaching",
]
