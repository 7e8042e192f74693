"""The protocols that everything is written against (no code).

A log density is a function ``x -> [b]`` up to a constant; a conditional is a module that returns a distribution; a
sampler moves chains. See DESIGN in the docs, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Generator, Tensor

from absynth.seeding import Streams

LogDensity = Callable[[Tensor], Tensor]
"""``x [b, *event] -> [b]``, the log of an unnormalized density."""

Rng = Generator | Streams
"""Where randomness comes from: one generator for a whole batch, or one a row (see :mod:`absynth.seeding`)."""


class Batch(NamedTuple):
    """What data loaders yield."""

    x: Tensor
    """Observed examples ``[b, *event]``."""
    c: Tensor | None = None
    """Condition, one row an example: label, source image, history, time."""
    mask: Tensor | None = None
    """1 where x was observed (learning from incomplete data)."""
    index: Tensor | None = None
    """Each example's number in its data set, where chains are remembered by it ``[b]``."""


@runtime_checkable
class Distribution(Protocol):
    """A batch of b normalized distributions over one event."""

    @property
    def mode(self) -> Tensor:
        """``[b, *event]``, the most probable value."""
        ...

    def log_prob(self, x: Tensor) -> Float[Tensor, "b"]:
        """Log density of ``x [b, *event]``, normalized."""
        ...

    def sample(self, rng: Rng) -> Tensor:
        """One draw from each of the b distributions, ``[b, *event]``."""
        ...


@runtime_checkable
class Conditional(Protocol):
    """A generator, an inference model or a flow: called, it returns a distribution."""

    def __call__(self, z: Tensor, c: Tensor | None = None) -> Distribution: ...


@runtime_checkable
class Reference(Protocol):
    """p_0, the measure that an EBM tilts: normalized, and easy to draw from."""

    def log_prob(self, x: Tensor) -> Float[Tensor, "b"]: ...

    def sample(self, n: int, rng: Rng) -> Tensor: ...


@runtime_checkable
class Sampler(Protocol):
    """A frozen dataclass of numbers: b chains in, b chains out, no autograd graph out."""

    def __call__(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor: ...


class State(NamedTuple):
    """Where b chains stand after a step; samplers yield one a step."""

    x: Tensor
    """The chains' states ``[b, *event]``."""
    log_density: Tensor | None = None
    """``[b]``, where the sampler knows it (those with a Metropolis test)."""
    accepted: Tensor | None = None
    """``[b]``, 1 where the last proposal was accepted."""
    step_size: float | None = None
    """The step size in use, where the sampler adapts it."""
