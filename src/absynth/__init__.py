"""absynth: analysis by synthesis. Energy-based generative models in PyTorch.

A log density is a function, a model returns densities, an algorithm turns a batch into one loss a player, and one loop
trains everything.
"""

from absynth.algorithms import (
    VAE,
    Algorithm,
    AlternatingBackprop,
    AmortizedLatentPrior,
    ConditionalCooperative,
    CycleCooperative,
    DivergenceTriangle,
    InformationBottleneck,
    JointVAE,
    LatentPrior,
    MaximumLikelihood,
    SymbolVector,
    VariationalTeaching,
)
from absynth.checkpoint import load
from absynth.density import EBM, Density, observe, product, restrict, score
from absynth.distributions import Bernoulli, GaussianGenerator, Normal, StandardNormal, Uniform
from absynth.errors import Diverged, InputError
from absynth.recipes import Recipe
from absynth.samplers import HMC, MALA, AnnealedLangevin, FromData, FromGenerator, FromNoise, Langevin, Persistent
from absynth.seeding import Streams, stream
from absynth.training import fit, update
from absynth.types import Batch, LogDensity, Sampler

__version__ = "0.1.0"

__all__ = [
    "EBM",
    "HMC",
    "MALA",
    "VAE",
    "Algorithm",
    "AlternatingBackprop",
    "AmortizedLatentPrior",
    "AnnealedLangevin",
    "Batch",
    "Bernoulli",
    "ConditionalCooperative",
    "CycleCooperative",
    "Density",
    "Diverged",
    "DivergenceTriangle",
    "FromData",
    "FromGenerator",
    "FromNoise",
    "GaussianGenerator",
    "InformationBottleneck",
    "InputError",
    "JointVAE",
    "Langevin",
    "LatentPrior",
    "LogDensity",
    "MaximumLikelihood",
    "Normal",
    "Persistent",
    "Recipe",
    "Sampler",
    "StandardNormal",
    "Streams",
    "SymbolVector",
    "Uniform",
    "VariationalTeaching",
    "fit",
    "load",
    "observe",
    "product",
    "restrict",
    "score",
    "stream",
    "update",
]
