"""The protocols that everything is written against (no code).

A log density is a function ``x -> [b]`` up to a constant; a conditional is a module that returns a distribution; a
sampler moves chains. See DESIGN in the docs, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from absynth.seeding import Streams

LogDensity = Callable[[Tensor], Tensor]
"""``x [b, *event] -> [b]``, the log of an unnormalized density."""

Rng = Generator | Streams
"""Where randomness comes from: one generator for a whole batch, or one a row (see :mod:`absynth.seeding`)."""


class Batch(NamedTuple):
    """A minibatch of b examples."""

    x: Tensor
    """Observed examples ``[b, *event]``."""
    c: Tensor | None = None
    """Conditions, one row per example: class labels, source images, histories."""
    y: Tensor | None = None
    """Class labels, int64 ``[b]``; −1 marks an unlabelled example. None if the data set has no labels."""
    mask: Tensor | None = None
    """1 where x is observed, broadcastable to x (learning from incomplete data)."""
    index: Tensor | None = None
    """Position of each example in its data set, int64 ``[b]``; samplers with stored states need it."""

    def slice(self, first: int, every: int, device: torch.device | str) -> Batch:
        """Every ``every``-th example from ``first`` on, moved to a device."""
        return Batch(*(None if t is None else t[first::every].to(device) for t in self))  # type: ignore[arg-type]


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
    step_size: Tensor | float | None = None
    """The step size in use, one number or ``[b]``, where the sampler adapts it."""
    acceptance: Tensor | None = None
    """``[b]``, the mean acceptance probability of the transition, where the sampler computes one."""
    diverged: Tensor | None = None
    """``[b]``, 1 where the transition's energy error was so large that it was given up."""
    gradients: Tensor | None = None
    """``[b]``, gradient evaluations that the transition used."""
