"""A short-run EBM as a generator: its initial state is a latent variable (Nijkamp et al. 2019, section 4).

Without noise the chain of K steps is a map M from its initial state to the example at its end. Two initial states can
be interpolated, and an example reconstructed by descending ‖x − M(z)‖² through all K steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from absynth.distributions import StandardNormal, Uniform
from absynth.samplers import Langevin
from absynth.samplers.unroll import interpolate_normal, interpolate_uniform, unroll
from absynth.types import LogDensity


@dataclass(frozen=True)
class ShortRun:
    """M: an initial state z ``[b, *event]`` to the example ``[b, *event]`` at the end of K steps without noise.

    Args:
        log_density: Moves the chain.
        sampler: K steps; its noise is left out.
        start: Distribution of the initial states.
    """

    log_density: LogDensity
    sampler: Langevin
    start: StandardNormal | Uniform

    def __call__(self, z: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        return unroll(self.sampler, self.log_density, z, z.new_zeros(self.sampler.steps, *z.shape))

    def between(self, a: Float[Tensor, "b *event"], b: Float[Tensor, "b *event"], t: float) -> Tensor:
        """The initial state at fraction t of the way from a to b, with the distribution of ``start`` itself."""
        ratio = math.cos(0.5 * math.pi * t)
        if isinstance(self.start, StandardNormal):
            return interpolate_normal(a, b, ratio)
        return interpolate_uniform(a, b, ratio, self.start.low, self.start.high)
