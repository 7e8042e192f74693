"""Step sizes that the chains find themselves: dual averaging towards an acceptance, then frozen.

What adapts samples no law; so the warm-up is apart from the steps that count, and those run at one step size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absynth.errors import InputError
from absynth.samplers.dual_averaging import TARGET_ACCEPT
from absynth.samplers.mala import MALA
from absynth.samplers.wrapped import Wrapped, altered
from absynth.types import LogDensity, Rng, Sampler


@dataclass(frozen=True)
class Adapted(Wrapped):
    """A Langevin sampler whose step size is found first, by MALA from the same states, and then frozen.

    The proposal of MALA is Langevin's own step, so its acceptance tells how far that step is from the exact
    diffusion, whatever the density's scale. It is that of all coordinates together, so the bias of each falls with
    their number: at the usual target the variances of N(0, I) are 2.5 times too large in 2 dimensions and 1.2 times
    in 100. A higher ``target_accept`` shortens the step.

    Args:
        sampler: one with a ``step_size`` that is MALA's δ: Langevin, AnnealedLangevin, or MALA itself.
        warmup: steps that adapt; the chains go on from where they end.
        target_accept: mean acceptance that they aim at; 0.574 is MALA's most efficient (Roberts and Rosenthal 1998).
    """

    warmup: int
    target_accept: float = TARGET_ACCEPT

    def __post_init__(self) -> None:
        if self.warmup < 1:
            raise InputError(f"warmup must be at least 1, got {self.warmup}: run the sampler itself without one")

    def frozen(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> tuple[Sampler, Tensor]:
        """The sampler with the step size found, to run on densities like this one, and where the chains stand."""
        warm, x = MALA(0, self.step_size, self.warmup, self.target_accept, "unit").tuned(log_density, x, rng=rng)
        step_sizes = torch.as_tensor(warm.step_size)
        return altered(self.sampler, step_size=float(step_sizes.log().mean().exp())), x

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        sampler, x = self.frozen(log_density, x, rng=rng)
        return sampler(log_density, x, rng=rng)
