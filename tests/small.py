"""The small recipes that the tests of training, the guard and the engine run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth import recipes
from absynth.recipes import Recipe
from absynth.recipes.bounds import Count
from absynth.recipes.latent_prior.vectors import LatentPriorVectors


@dataclass(frozen=True, kw_only=True)
class ModesPrior(LatentPriorVectors):
    """The latent prior of the set linear_modes, whose generator is known: the preset's numbers as defaults."""

    data: str = "linear_modes"
    batch: Count = 200
    threads: int = 1
    checkpoint_every: Count = 250
    generator: Literal["mlp", "known"] = "known"


def digits(**fields: object) -> Recipe:
    """A tiny latent prior of digits, which come with scikit-learn."""
    return recipes.build("latent_prior", "digits", tiny=True, **fields)
