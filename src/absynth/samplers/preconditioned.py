"""Any sampler in coordinates in which the target is better scaled.

With x = scale ⊙ y, a sampler's step of size δ on y is a step of size δ·scale_i on coordinate i of x: for Langevin
x ← x + (δ²/2) D ∇log p(x) + δ √D ε with D = diag(scale²). The law is the sampler's own on the density of y, so what is
exact stays exact (Roberts and Stramer 2002, on such changes of metric).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError
from absynth.samplers import engine
from absynth.samplers.wrapped import Wrapped
from absynth.seeding import uniform_like
from absynth.types import LogDensity, Rng


@dataclass(frozen=True)
class Preconditioned(Wrapped):
    """A sampler that runs in scaled coordinates.

    Args:
        sampler: what runs there.
        scale: typical width of the target along each coordinate, ``[*event]`` or ``[b, *event]``, positive.
    """

    scale: Tensor

    def inner(self, log_density: LogDensity, x: Tensor) -> tuple[LogDensity, Tensor]:
        scale = self.scale.to(x)
        try:
            fits = torch.broadcast_shapes(scale.shape, x.shape) == x.shape
        except RuntimeError:
            fits = False
        if not fits or not (scale > 0).all():
            raise InputError(
                f"scale must be positive and have shape {list(x.shape[1:])}, got {list(scale.shape)} with the "
                f"smallest entry {float(scale.min()):g}: give the width of each entry"
            )
        return lambda y: log_density(scale * y), x.detach() / scale

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        there, y = self.inner(log_density, x)
        return self.scale.to(x) * self.sampler(there, y, rng=rng)


def width_of(
    log_density: LogDensity, x: Float[Tensor, "b *event"], *, rng: Rng, length: float = 0.1, probes: int = 8
) -> Float[Tensor, "*event"]:
    """1/√curvature of −log density along each coordinate, averaged over the b states: a scale for ``Preconditioned``.

    The diagonal of the curvature is E[v ⊙ (score(x) − score(x + length·v)) / length] with random signs v (Bekas et al.
    2007). Coordinates whose estimate is not positive get the mean of the others.
    """
    score = engine.score(log_density)
    x = x.detach()
    at_x, diagonal = score(x), torch.zeros_like(x[0])
    for _ in range(probes):
        v = (uniform_like(x, rng) < 0.5).to(x.dtype) * 2 - 1
        diagonal += (v * (at_x - score(x + length * v)) / length).mean(0) / probes
    usual = diagonal[diagonal > 0].mean()
    return torch.where(diagonal > 0, diagonal, usual).rsqrt()
