"""The one door through which samplers ask for gradients, and the one switch that says how they are computed.

A sampler calls ``score = engine.score(log_density)`` once a chain and ``score(x)`` once a step, and does not know what
is behind it. ``fit`` and the tasks choose, around all that they do::

    with engine.use("auto", updates=recipe.steps):
        ...

========  ==========================================================================================================
eager     autograd, as written
traced    the log density is recorded once a chain; its gradient, taken by autograd once, runs as a graph of operations:
          packed weights, channels-last convolutions, nothing that only a loss would need; fully connected ones as
          whole chains in C++
compiled  the same graph through torch.compile, with parameters and data as inputs (seconds of warm-up)
graph     the whole chain as one CUDA graph on static buffers; without a GPU, the same buffers and no graph
auto      graph on a GPU, traced elsewhere; builds C++ only where the updates ahead will repay it
========  ==========================================================================================================

All give the same chain from the same noise, to rounding. What an engine cannot take goes to autograd and one plain
line says so. A log density must be a function: the same value for the same x for as long as its parameters stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from torch import Tensor

from absynth.engine.scores import NAMES, Engine, Name, Scores, has_bf16, to_stderr
from absynth.errors import InputError
from absynth.types import LogDensity, Rng

Drift = Literal["same", "bf16"]

_EAGER = Engine("eager")
_current: ContextVar[Engine] = ContextVar("engine", default=_EAGER)


@contextmanager
def use(
    name: Name,
    *,
    drift: Drift = "same",
    fused: bool = True,
    updates: int | None = None,
    say: Callable[[str], None] = to_stderr,
) -> Iterator[Engine]:
    """Choose the engine of everything that runs inside the ``with`` block.

    Args:
        name: eager, traced, compiled, graph or auto.
        drift: "bf16" computes the layers in bfloat16 while the state keeps its type. That changes the drift by a
            percent or more, so it is a named option and nothing chooses it by itself.
        fused: let traced run fully connected log densities as whole chains in C++ (built once a machine).
        updates: parameter updates that lie ahead, where known: auto builds C++ only where they will repay it.
        say: where the one plain line goes when something falls back; standard error by default.

    Raises:
        InputError: there is no engine, or no drift, of that name, or that engine has no drift of its own.
    """
    if name not in NAMES:
        raise InputError(f"engine must be one of {', '.join(NAMES)}, got {name}")
    if drift not in ("same", "bf16"):
        raise InputError(f"drift must be same or bf16, got {drift}")
    if drift == "bf16" and name in ("eager", "compiled"):
        raise InputError(f"drift bf16 is of the engines traced, graph and auto, got {name}: choose one of them")
    engine = Engine(name, drift == "bf16", fused, updates, say)
    if engine.bf16 and not has_bf16():
        engine.tell("there is no fast bfloat16 arithmetic here: the drift keeps the type of the state")
        engine.bf16 = False
    token = _current.set(engine)
    try:
        yield engine
    finally:
        _current.reset(token)


def checked(log_density: LogDensity) -> LogDensity:
    """The log density, with an :class:`InputError` where x or the values that it returns cannot be used."""

    def of(x: Tensor) -> Tensor:
        try:
            value = log_density(x)
        except ValueError as error:
            if "within the support" not in str(error):
                raise
            raise InputError(
                "the log density must take every x, got a torch distribution that refuses those outside its support: "
                "build it with validate_args=False, or sample the logarithm or logit of x"
            ) from None
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if shape != [len(x)]:
            raise InputError(
                f"the log density must return shape [{len(x)}], got {shape}: return one number a chain, for instance "
                "by .squeeze(-1) or .flatten(1).sum(1)"
            )
        if x.requires_grad and not value.requires_grad:
            raise InputError(
                "the log density must be differentiable, got values without a gradient: compute them from x by torch "
                "operations, without detach, item or numpy"
            )
        return value

    return of


def scores(log_density: LogDensity) -> Scores:
    """The gradients of a log density under the engine in use, for the length of one chain."""
    return Scores(_current.get(), checked(log_density))


def score(log_density: LogDensity) -> Callable[[Tensor], Tensor]:
    """x ↦ ∇_x log density, for the length of one chain."""
    return scores(log_density).score


def value_and_score(log_density: LogDensity) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """x ↦ (log density, ∇_x log density), for samplers with a Metropolis test."""
    return scores(log_density).value_and_score


def langevin(
    log_density: LogDensity, x: Tensor, *, drift: float, noise_scales: Sequence[float], rng: Rng
) -> Tensor | None:
    """x after the steps x ← x + drift·score + noise_scale·ε, from an engine that runs whole chains.

    None where there is no such engine for this log density: then the sampler takes the steps itself.
    """
    if not noise_scales:
        return None
    return scores(log_density).langevin(x, drift, noise_scales, rng)
