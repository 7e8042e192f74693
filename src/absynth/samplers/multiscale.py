"""What chains over several resolutions need: the way down, the way up, and noise that fades along all of them.

Resolutions are sides of square images, coarsest first, each a multiple of the one before. Of clips and volumes it is
the last side; all others keep their proportion to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from absynth.errors import InputError
from absynth.samplers import engine
from absynth.samplers.langevin import last, validate_steps
from absynth.seeding import noise_like
from absynth.types import LogDensity, Rng, State


@dataclass(frozen=True)
class FadingLangevin:
    """K Langevin steps whose noise changes linearly: from ``first`` to ``last`` times ``noise_scale``.

    x ← x + (δ²/2) ∇log p(x) + τ_k ε. Where ``last`` is 0 the chain ends without noise, at temperature 0: what it
    samples is a mode reached from a random start, and f is not a log density.

    Args:
        steps: K.
        step_size: δ.
        noise_scale: τ, in the data's units.
        first: τ_1 / τ.
        last: τ_K / τ.

    >>> FadingLangevin(3, 1.0, 0.1).noise_scales()
    [0.1, 0.05, 0.0]
    """

    steps: int
    step_size: float
    noise_scale: float
    first: float = 1.0
    last: float = 0.0

    def __post_init__(self) -> None:
        validate_steps(self.steps, step_size=self.step_size, noise_scale=self.noise_scale)

    @property
    def temperature(self) -> float:
        """(τ_K/δ)², the temperature at the end of the chain."""
        return (self.last * self.noise_scale / self.step_size) ** 2

    def noise_scales(self) -> list[float]:
        """τ_1 … τ_K."""
        fractions = [k / max(self.steps - 1, 1) for k in range(self.steps)]
        return [self.noise_scale * (self.first + t * (self.last - self.first)) for t in fractions]

    def path(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Iterator[State]:
        """The start and every step after it: ``steps + 1`` states."""
        score = engine.score(log_density)
        drift = 0.5 * self.step_size**2
        x = x.detach()
        yield State(x)
        for noise_scale in self.noise_scales():
            x = x + drift * score(x)
            if noise_scale > 0:
                x = x.add_(noise_like(x, rng), alpha=noise_scale)
            yield State(x)

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        return last(self.path(log_density, x, rng=rng))


def fading(steps: Sequence[int], step_size: float, noise_scale: float) -> list[FadingLangevin]:
    """One sampler a stage, the noise falling linearly from τ to 0 over the steps of all stages together.

    >>> [(s.first, s.last) for s in fading([1, 3], 1.0, 0.1)]
    [(1.0, 1.0), (0.6666666666666667, 0.0)]
    """
    total, done, samplers = max(sum(steps) - 1, 1), 0, []
    for k in steps:
        samplers.append(FadingLangevin(k, step_size, noise_scale, 1 - done / total, 1 - (done + k - 1) / total))
        done += k
    return samplers


def coarsen(x: Float[Tensor, "b c *sides"], size: int) -> Float[Tensor, "b c *coarse"]:
    """Averages over blocks: the image, clip or volume at a coarser resolution."""
    if x.shape[-1] == size:
        return x
    pool = functional.avg_pool2d if x.ndim == 4 else functional.avg_pool3d
    return pool(x, x.shape[-1] // size)


def refine(x: Float[Tensor, "b c *sides"], size: int) -> Float[Tensor, "b c *fine"]:
    """Every pixel repeated: the image, clip or volume at a finer resolution; ``coarsen`` undoes it."""
    factor = size // x.shape[-1]
    for axis in range(-1, 1 - x.ndim, -1):
        x = x.repeat_interleave(factor, axis)
    return x


def check_sizes(sizes: Sequence[int]) -> None:
    """Raise unless each side is a multiple of the one before."""
    if not sizes or any(b <= a or b % a for a, b in itertools.pairwise(sizes)):
        raise InputError(f"sizes must rise, each a multiple of the one before, got {list(sizes)}: for instance 8 16 32")
