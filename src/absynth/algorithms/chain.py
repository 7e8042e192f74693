"""A chain that draws from a model: a density, the initial states, and the sampler that moves them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from absynth.density import Density
from absynth.errors import Unsupported
from absynth.samplers import altered
from absynth.types import LogDensity, Reference, Rng, Sampler

Projection = Callable[[Tensor], Tensor]
"""``x [b, *event]`` to the nearest point that agrees with what was observed of each row."""


@dataclass(frozen=True)
class SampledStart:
    """Initial states that can be drawn but whose density is unknown, such as a generator's samples.

    Args:
        draw: ``(n, rng) -> [n, *event]``.
    """

    draw: Callable[[int, Rng], Tensor]

    def sample(self, n: int, rng: Rng) -> Tensor:
        """Initial states of n chains."""
        return self.draw(n, rng)

    def log_prob(self, x: Tensor) -> Tensor:
        """Not available.

        Raises:
            Unsupported: Always.
        """
        raise Unsupported("the initial states of these chains have no density: use an EBM whose chains start at noise")


def first_states(start: Any, project: Projection, n: int, *, rng: Rng) -> Tensor:
    """Initial states that agree with an observation: drawn given it if the start can, else drawn, then projected."""
    given = getattr(start, "given", None)
    return project(start.sample(n, rng)) if given is None else given(project, n, rng)


def _identity(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Chain:
    """What draws from a model.

    Args:
        density: The density that the chain moves on.
        start: Draws the initial states: ``start.sample(n, rng)``.
        sampler: Moves the chain.
        generate: Maps a state to an example: the generator for a latent chain, else the identity.
        rounds: Number of times the sampler runs for a fresh sample.
        latent: Whether the states are latent variables rather than examples.
    """

    density: Density
    start: Reference | SampledStart
    sampler: Sampler
    generate: Callable[[Tensor], Tensor] = _identity
    rounds: int = 1
    latent: bool = False

    @property
    def steps(self) -> int:
        """Number of steps of one run of the sampler."""
        return getattr(self.sampler, "steps", 1)

    @property
    def temperature(self) -> float:
        """T: the chain samples the density to the power of 1/T."""
        return getattr(self.sampler, "temperature", 1.0)

    def tempered(self, x: Tensor) -> Tensor:
        """Log density that the chain samples, log p(x) / T, up to a constant.

        Raises:
            Unsupported: The chain ends without noise, so it samples no density.
        """
        if not self.temperature:
            raise Unsupported(f"{self.sampler!r} ends without noise and samples no density: choose another run")
        return self.density.log_density(x) / self.temperature

    def run(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        """Run the sampler on any log density, ``rounds`` times."""
        for _ in range(self.rounds):
            x = self.sampler(log_density, x, rng=rng)
        return x

    def with_steps(self, steps: int) -> Chain:
        """The same chain with one run of ``steps`` steps; 0 returns it unchanged."""
        return replace(self, sampler=with_steps(self.sampler, steps), rounds=1) if steps else self

    def complete(self, project: Projection, n: int, *, rng: Rng) -> Tensor:
        """Draw n examples given an observation: log p(x|y) = log p(project(x)) + const, from :func:`first_states`."""
        x = first_states(self.start, project, n, rng=rng)
        return project(self.run(lambda v: self.density.log_density(project(v)), x, rng=rng))


def with_steps(sampler: Sampler, steps: int) -> Any:
    """The sampler with another number of steps.

    Raises:
        Unsupported: The sampler has no number of steps.
    """
    if not hasattr(sampler, "steps"):
        raise Unsupported(f"--steps sets the length of a chain, and {sampler!r} has none: leave it out")
    return altered(sampler, steps=steps)


@dataclass(frozen=True)
class Translation:
    """One direction of translation that a model has learned.

    Args:
        apply: ``(x, rng=...) -> (initial translation, refined translation)``.
        invert: Maps an initial translation back to the source, or None.
    """

    apply: Callable[..., tuple[Tensor, Tensor]]
    invert: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class AnomalyScores:
    """Anomaly scores ``[n]`` by name; the first is the model's score, the others are its parts.

    Args:
        scores: Name -> scores, higher is more anomalous.
        note: How they were computed, one sentence.
    """

    scores: dict[str, Tensor]
    note: str

    @property
    def name(self) -> str:
        """Name of the model's score."""
        return next(iter(self.scores))

    @property
    def score(self) -> Tensor:
        """The model's score."""
        return self.scores[self.name]
