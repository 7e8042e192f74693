"""Samplers: frozen dataclasses of numbers that move b chains."""

from absynth.samplers.adapted import Adapted
from absynth.samplers.annealed import AnnealedLangevin
from absynth.samplers.diagnostics import (
    acceptance,
    bulk_ess,
    effective_sample_size,
    energy_profile,
    rank_normalize,
    rank_rhat,
    split_rhat,
    tail_ess,
)
from absynth.samplers.draws import ChainWarning, Draws, draw
from absynth.samplers.gibbs import GibbsWithGradients
from absynth.samplers.hmc import HMC
from absynth.samplers.langevin import Langevin
from absynth.samplers.mala import MALA
from absynth.samplers.mass import Mass
from absynth.samplers.metropolis import Metropolis
from absynth.samplers.nuts import NUTS
from absynth.samplers.preconditioned import Preconditioned
from absynth.samplers.start import FromData, FromGenerator, FromInference, FromLast, FromNoise, Persistent, Start
from absynth.samplers.summary import ChainSummary, summarize_chains
from absynth.samplers.tempering import Tempering
from absynth.samplers.underdamped import Underdamped
from absynth.samplers.wrapped import Wrapped, altered

__all__ = [
    "HMC",
    "MALA",
    "NUTS",
    "Adapted",
    "AnnealedLangevin",
    "ChainSummary",
    "ChainWarning",
    "Draws",
    "FromData",
    "FromGenerator",
    "FromInference",
    "FromLast",
    "FromNoise",
    "GibbsWithGradients",
    "Langevin",
    "Mass",
    "Metropolis",
    "Persistent",
    "Preconditioned",
    "Start",
    "Tempering",
    "Underdamped",
    "Wrapped",
    "acceptance",
    "altered",
    "bulk_ess",
    "draw",
    "effective_sample_size",
    "energy_profile",
    "rank_normalize",
    "rank_rhat",
    "split_rhat",
    "summarize_chains",
    "tail_ess",
]
