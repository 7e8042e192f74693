"""Chains that are watched while they run: a look at the states, the energy and the acceptance every few steps."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from absynth.algorithms import Chain
from absynth.density import restrict, temper
from absynth.errors import InputError, Unsupported
from absynth.samplers import Wrapped, altered
from absynth.seeding import Streams, stream
from absynth.studio.models import infers, walk_starts, walks_between_starts
from absynth.tasks.compose import composed
from absynth.tasks.interpolate import interpolate
from absynth.tasks.observed import completions
from absynth.tasks.opened import Opened
from absynth.tasks.sample import samples, sampling_conditions
from absynth.tasks.short_run import short_run
from absynth.types import LogDensity, Rng, Sampler

MOST_STEPS = 2000
"""Length of the longest chain that the page runs."""
MOST_CHAINS = 64
"""Number of chains that the page runs at once, at most."""
POINTS = 60
"""Number of steps of a chain at which its energy is measured, about."""
PAUSE = 0.15
"""Seconds between two looks, at least."""


@dataclass
class Profile:
    """What was measured along a chain so far: one entry for each of the steps in ``steps``."""

    acceptance: bool
    """Whether ``moves`` are acceptance probabilities; else root mean squares of a step, per coordinate."""
    steps: list[int] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    """10 % and 90 % of the chains have a lower energy."""
    moves: list[float] = field(default_factory=list)
    """Means over the chains; none for the initial states."""


@dataclass(frozen=True)
class Frame:
    """One look at running chains.

    Args:
        step: Steps taken.
        steps: Steps of the whole chain; 0 where that is not known.
        x: Examples ``[n, *event]`` that the states stand for.
        profile: What was measured so far; None where nothing is.
    """

    step: int
    steps: int
    x: Tensor
    profile: Profile | None = None


def adjusted(
    chain: Chain, log_density: LogDensity, *, step: float = 1.0, temperature: float = 1.0, steps: int = 0
) -> tuple[Sampler, LogDensity, int]:
    """A chain's sampler with other numbers, as multiples of those of training.

    Args:
        chain: The chain that draws from the model.
        log_density: What it moves on.
        step: Multiplies the step size; the noise follows, so the temperature stays.
        temperature: Multiplies the temperature: of the noise where the sampler has a scale of it, else of the density.
        steps: Length of the chain; 0 is as in training.

    Returns:
        The sampler, the log density, and how many times to run it.

    Raises:
        InputError: A number is out of range.
        Unsupported: The sampler has no such number.
    """
    if step <= 0 or temperature < 0 or not 0 <= steps <= MOST_STEPS:
        raise InputError(
            f"expected a positive step size, a temperature of 0 or more and 0 to {MOST_STEPS} steps, got {step:g}, "
            f"{temperature:g} and {steps}"
        )
    chain = chain.with_steps(steps)
    sampler: Any = chain.sampler
    core = sampler
    while isinstance(core, Wrapped):
        core = core.sampler
    changes: dict[str, Any] = {}
    if step != 1:
        if not hasattr(core, "step_size"):
            raise Unsupported(f"{type(core).__name__} has no step size: leave it at 1")
        changes["step_size"] = step * core.step_size
    if hasattr(core, "noise_scale"):
        noise = core.step_size if core.noise_scale is None else core.noise_scale
        if step != 1 or temperature != 1:
            changes["noise_scale"] = noise * step * temperature**0.5
    elif temperature != 1 and hasattr(core, "hot"):
        changes |= {"hot": temperature * core.hot, "cold": temperature * core.cold}
    elif temperature != 1:
        log_density = temper(log_density, temperature)
    return (altered(sampler, **changes) if changes else sampler), log_density, chain.rounds


def watch(
    sampler: Sampler,
    log_density: LogDensity,
    x: Tensor,
    *,
    energy: LogDensity,
    generate: Callable[[Tensor], Tensor],
    rounds: int = 1,
    rng: Rng,
    pause: float = PAUSE,
) -> Iterator[Frame]:
    """Run chains and look at them: at their start, then whenever ``pause`` seconds have passed, and at their end.

    Args:
        sampler: Moves the chains, with ``path`` and ``steps``.
        log_density: What they move on.
        x: Initial states.
        energy: What is measured along them.
        generate: Maps states to examples.
        rounds: Number of times the sampler runs.
        rng: Source of randomness.
        pause: Seconds between two looks, at least.
    """
    moving: Any = sampler
    each = moving.steps + getattr(moving, "warmup", 0)
    total, before = rounds * each, x
    every = max(1, total // POINTS)
    profile, due = Profile(False), time.monotonic()
    for turn in range(rounds):
        for k, state in enumerate(moving.path(log_density, before, rng=rng)):
            step = turn * each + k
            if k == 0 and turn > 0:
                continue
            if step % every == 0 or step == total:
                _measure(profile, step, state, before, energy)
                if step < total and time.monotonic() >= due:
                    begun = time.monotonic()
                    yield Frame(step, total, generate(state.x), profile)
                    ended = time.monotonic()
                    due = ended + max(pause, 4 * (ended - begun))  # looks take a fifth of the time, however busy it is
            before = state.x
    yield Frame(total, total, generate(before), profile)


def _measure(profile: Profile, step: int, state: Any, before: Tensor, energy: LogDensity) -> None:
    with torch.no_grad():
        values = energy(state.x).double()
    low, high = values.quantile(torch.tensor([0.1, 0.9], dtype=torch.float64)).tolist()
    profile.steps.append(step)
    for series, value in ((profile.energy, float(values.mean())), (profile.low, low), (profile.high, high)):
        series.append(value)
    accepted = state.accepted if state.acceptance is None else state.acceptance
    profile.acceptance = accepted is not None
    if step:
        moved = (state.x - before).square().mean().sqrt() if accepted is None else accepted.mean()
        profile.moves.append(float(moved))


def check_size(n: int, steps: int = 0) -> None:
    """Raise an InputError if there are no chains, or more or longer ones than the page runs."""
    if not 1 <= n <= MOST_CHAINS or not 0 <= steps <= MOST_STEPS:
        raise InputError(
            f"expected 1 to {MOST_CHAINS} chains of at most {MOST_STEPS} steps, got {n} of {steps}: give fewer"
        )


def sample(
    opened: Opened,
    n: int,
    *,
    label: int = -1,
    step: float = 1.0,
    temperature: float = 1.0,
    steps: int = 0,
    seed: int,
    pause: float = PAUSE,
) -> Iterator[Frame]:
    """Samples of a model, watched. At the numbers of training they are those of ``absynth sample``.

    Args:
        opened: The model.
        n: Number of samples.
        label: Class of all; −1 takes the classes in turn.
        step, temperature, steps: As in :func:`adjusted`.
        seed: Seed of the noise.
        pause: As in :func:`watch`.
    """
    check_size(n, steps)
    c = sampling_conditions(opened, n, label)
    try:
        chain = opened.model.chain(c)
    except Unsupported:
        if (step, temperature, steps) != (1.0, 1.0, 0):
            raise
        yield Frame(0, 0, samples(opened.model, n, c, seed=seed, device=opened.device))
        return
    sampler, log_density, rounds = adjusted(
        chain, chain.density.log_density, step=step, temperature=temperature, steps=steps
    )
    rng = Streams(seed, range(n), device=opened.device)
    yield from watch(
        sampler,
        log_density,
        chain.start.sample(n, rng),
        energy=chain.density.energy,
        generate=chain.generate,
        rounds=rounds,
        rng=rng,
        pause=pause,
    )


def mix(
    first: Opened,
    second: Opened,
    weights: tuple[float, float],
    n: int,
    *,
    step: float = 1.0,
    temperature: float = 1.0,
    steps: int = 0,
    seed: int,
    pause: float = PAUSE,
) -> Iterator[Frame]:
    """Samples of the product of two models' densities, watched: ``absynth compose``. The first model's sampler draws.

    Args:
        first, second: The models, of data of one shape.
        weights: Exponent of each density; a negative one pushes away.
        n, step, temperature, steps, seed, pause: As in :func:`sample`.
    """
    check_size(n, steps)
    if max(weights) <= 0:
        raise InputError(f"expected a positive weight, got {weights[0]:g} and {weights[1]:g}: raise one")
    if first.data.shape != second.data.shape:
        raise InputError(
            f"models to mix must have examples of one shape, got {first.data.shape} and {second.data.shape}"
        )
    chain = first.data_chain()
    product = composed([chain, second.data_chain()], weights)
    sampler, log_density, rounds = adjusted(
        chain, lambda x: chain.temperature * product(x), step=step, temperature=temperature, steps=steps
    )
    rng = Streams(seed, range(n), device=first.device)
    yield from watch(
        sampler,
        log_density,
        chain.start.sample(n, rng),
        energy=lambda x: -product(x),
        generate=chain.generate,
        rounds=rounds,
        rng=rng,
        pause=pause,
    )


class _Stopped(Exception):
    """Nobody looks any more."""


def fill(
    opened: Opened,
    x: Float[Tensor, "c h w"],
    hole: Bool[Tensor, "1 h w"],
    n: int,
    *,
    steps: int = 0,
    seed: int,
    pause: float = PAUSE,
) -> Iterator[Frame]:
    """Draws of an image given what lies outside the hole, watched: those of ``absynth inpaint``.

    The model completes on a thread of its own; every time it looks at the observation, the page may look too.

    Args:
        opened: The model.
        x: The image.
        hole: True where it is to be filled; what lies there is never used.
        n: Number of draws.
        steps: Length of the chain; 0 is as in training.
        seed: Seed of the noise.
        pause: Seconds between two looks, at least.
    """
    check_size(n, steps)
    if not hole.any():
        raise InputError("expected a part of the image to fill, got none: paint over it")
    observed = torch.where(hole, 0.0, x).expand(n, *x.shape)
    fixed = restrict(lambda v: v.new_zeros(len(v)), ~hole, observed)
    looks: queue.SimpleQueue[Frame | BaseException] = queue.SimpleQueue()
    stopped, count, shown = threading.Event(), itertools.count(), [time.monotonic() - pause]

    def project(v: Tensor) -> Tensor:
        if stopped.is_set():
            raise _Stopped
        found, step = fixed.fill(v), next(count)
        if time.monotonic() - shown[0] >= pause:
            shown[0] = time.monotonic()
            looks.put(Frame(step, 0, found.detach().clone()))
        return found

    def complete() -> None:
        try:
            draws = completions(opened, lambda rows: project, n, 1, steps=steps, seed=seed, batch=n)
            last = next(count)
            looks.put(Frame(last, last, draws[0]))
        except BaseException as error:  # handed to whoever looks
            looks.put(error)

    threading.Thread(target=complete, daemon=True).start()
    try:
        while True:
            look = looks.get()
            if isinstance(look, BaseException):
                raise look
            yield look
            if look.steps:
                return
    finally:
        stopped.set()


def walk(
    opened: Opened,
    examples: Float[Tensor, "m *event"],
    first: int,
    second: int,
    points: int = 8,
    *,
    steps: int = 0,
    seed: int,
) -> tuple[Float[Tensor, "points *event"], str]:
    """Examples on a way between two others, and how the way goes.

    Between their latent variables where the model infers them (``absynth interpolate``); of a short-run EBM between the
    initial states of its own samples; of another EBM along mixtures of both, each moved by the chain.

    Args:
        opened: The model.
        examples: What :func:`absynth.studio.models.find_examples` found.
        first, second: Numbers of the two, from 0.
        points: Number of examples on the way, ends included.
        steps: Length of the chain in the last case; 0 is as in training.
        seed: Seed of the noise.
    """
    check_size(points, steps)
    if points < 2 or not all(0 <= i < len(examples) for i in (first, second)):
        raise InputError(
            f"expected two of {len(examples)} examples and 2 points or more, got {first}, {second} and {points}"
        )
    device, shares = opened.device, [k / (points - 1) for k in range(points)]
    if infers(opened):
        a, b = (examples[i : i + 1].to(device) for i in (first, second))
        found = interpolate(opened.model, a, b, points, rng=stream(seed, device=device))[:, 0]
        return found.cpu(), "Along the arc between the latent variables inferred from both."
    if walks_between_starts(opened):
        run, starts = short_run(opened.model), walk_starts(opened, len(examples))
        assert run is not None
        a, b = starts[first : first + 1], starts[second : second + 1]
        with torch.no_grad():
            found = torch.cat([run(run.between(a, b, t)) for t in shares])
        return found.cpu(), f"Between the initial states of both, {run.sampler.steps} steps without noise from each."
    chain = opened.data_chain(steps)
    between = torch.stack([(1 - t) * examples[first] + t * examples[second] for t in shares]).to(device)
    rng = Streams(seed, range(points), device=device)
    found = chain.run(chain.density.log_density, between, rng=rng)
    return found.cpu(), f"Mixtures of both, each moved by {chain.rounds * chain.steps} steps of the chain."
