"""Models that sample through a pyramid of resolutions: a chain per level, each started from the level before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from absynth.algorithms.algorithm import Algorithm, distinct
from absynth.algorithms.chain import Chain, Projection, SampledStart, with_steps
from absynth.density import Density
from absynth.errors import InputError, Unsupported
from absynth.samplers.multiscale import coarsen, refine
from absynth.types import Rng, Sampler


class Pyramid(Algorithm):
    """What multi-grid learning and coarse-to-fine expansion share.

    Args:
        sizes: Sides of the images of each level, coarsest first.
        samplers: K_s steps, one sampler per level.

    Raises:
        InputError: Not one sampler per level.
    """

    def __init__(self, sizes: Sequence[int], samplers: Sequence[Sampler]) -> None:
        super().__init__()
        if len(samplers) != len(sizes):
            raise InputError(f"expected one sampler for each of {len(sizes)} levels, got {len(samplers)}")
        self.sizes = tuple(sizes)
        self.level_samplers = tuple(distinct(sampler) for sampler in samplers)

    @abstractmethod
    def level_density(self, level: int) -> Density:
        """The density of one level's images."""

    @abstractmethod
    def coarsest_start(self, n: int, rng: Rng) -> Tensor:
        """Initial states of the coarsest level's chains."""

    @abstractmethod
    def coarser_samples(self, n: int, rng: Rng) -> Tensor:
        """Samples of the level before the finest, from which the finest level's chains start."""

    def extra_repr(self) -> str:
        return "\n".join(f"side {size}: {sampler}" for size, sampler in zip(self.sizes, self.level_samplers))

    def samplers(self) -> dict[str, Sampler]:
        return {f"level_samplers.{s}": sampler for s, sampler in enumerate(self.level_samplers)}

    def replace_sampler(self, name: str, sampler: Sampler) -> None:
        names = list(self.samplers())
        if name not in names:
            raise InputError(f"expected a sampler of {', '.join(names)}, got {name!r}")
        self.level_samplers = tuple(sampler if n == name else s for n, s in self.samplers().items())

    def chain(self, c: Tensor | None = None) -> Chain:
        """The chain on the finest level's density, from the coarser levels' samples; it draws as ``sample`` does."""

        def start(n: int, rng: Rng) -> Tensor:
            return refine(self.coarser_samples(n, rng).clamp(-1, 1), self.sizes[-1])

        return Chain(self.level_density(len(self.sizes) - 1), SampledStart(start), self.level_samplers[-1])

    def complete(self, project: Projection, n: int, *, steps: int = 0, rng: Rng) -> Tensor:
        """Draw n images that agree with an observation, through all levels.

        Each level is restricted to what can be seen of the observation at its resolution. With the number of steps of
        the last chain, the distribution becomes the conditional one; all before it is an initialization.
        """
        last = self.level_samplers[-1]
        samplers = (*self.level_samplers[:-1], with_steps(last, steps) if steps else last)
        x = self.coarsest_start(n, rng)
        for s, size in enumerate(self.sizes):
            at = _at_resolution(project, size, self.sizes[-1])
            density = self.level_density(s)
            x = at(refine(x.clamp(-1, 1) if s else x, size))
            x = at(samplers[s](lambda v, at=at, density=density: density.log_density(at(v)), x, rng=rng))
        return x


def _at_resolution(project: Projection, size: int, full: int) -> Projection:
    """An observation at a coarser resolution: block means of the nearest image that agrees with it."""
    return lambda x: coarsen(project(refine(x, full)), size)


def one_level() -> Unsupported:
    """The error of a pyramid with nothing coarser than its finest level."""
    return Unsupported("a pyramid of one level has no coarser one to start chains from: train one of two or more")
