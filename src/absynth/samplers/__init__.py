"""Samplers: frozen dataclasses of numbers that move b chains."""

from absynth.samplers.adapted import Adapted
from absynth.samplers.annealed import AnnealedLangevin
from absynth.samplers.hmc import HMC
from absynth.samplers.langevin import Langevin
from absynth.samplers.mala import MALA
from absynth.samplers.preconditioned import Preconditioned
from absynth.samplers.start import FromData, FromGenerator, FromInference, FromLast, FromNoise, Persistent, Start
from absynth.samplers.underdamped import Underdamped
from absynth.samplers.wrapped import Wrapped, altered

__all__ = [
    "HMC",
    "MALA",
    "Adapted",
    "AnnealedLangevin",
    "FromData",
    "FromGenerator",
    "FromInference",
    "FromLast",
    "FromNoise",
    "Langevin",
    "Persistent",
    "Preconditioned",
    "Start",
    "Underdamped",
    "Wrapped",
    "altered",
]
