"""Cars whose cost is known: what inverse control is measured on, and where two cars would collide."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.inverse_control import InverseControl
from absynth.data.track_set import TrackSet
from absynth.data.tracks import Frames, Tracks
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.networks.controls import ControlF, LinearCost, Scene, Signals
from absynth.networks.dynamics import Bicycle, rollout
from absynth.samplers import FromNoise, Langevin
from absynth.seeding import noise_like, stream

PAST, FUTURE, INTERVAL = 3, 20, 0.2
SPEED = 10.0
SIZES = (1.0, 0.02)
"""Units of the true cost's controls: acceleration, steering angle."""
WEIGHTS = (0.5, 0.2, 0.5, 2.0, 2.0, 2.0, 2.0)
"""Of lane offset², sideways speed², speed error², and the controls² and their changes², in SIZES."""


def truth(weights: tuple[float, ...], radius: float, agents: int = 1) -> InverseControl:
    """The model with the true cost."""
    cost = LinearCost([1.0] * len(weights))
    cost.log_weight.data = torch.tensor(weights).log()
    signals = Signals(Bicycle(INTERVAL), SIZES, road=0.0, lanes=(0.0,), speed=SPEED, radius=radius)
    several = (agents,) if agents > 1 else ()
    reference = StandardNormal(*several, FUTURE, 2, std=100.0)
    return InverseControl(
        EBM(ControlF(Scene(PAST, 1.0, INTERVAL, pose=True), signals, cost), reference), start=FromNoise(reference),
        sampler=Langevin(400, 0.25), mode="langevin", steps=FUTURE, iterations=15, sample_rounds=4,
    )  # fmt: skip


def expert_paths(model: InverseControl, position: Tensor, velocity: Tensor, *, seed: int) -> Float[Tensor, "n a t 2"]:
    """Paths by samples of the true model, from positions and velocities ``[n, agents, 2]``, with their pasts."""
    f = model.f
    dynamics = f.signals.dynamics
    back = torch.arange(PAST - 1, -1, -1.0)[:, None] * INTERVAL
    past = position[..., None, :] - back * velocity[..., None, :]
    c = condition(position, velocity)
    u = torch.zeros(*c.shape[:-1], FUTURE, 2)
    model.measure_width(c, model.plan(c, u), rng=stream(seed, 0, 0, 7))
    u = model.draw_controls(c, rng=stream(seed))
    state, _ = f.start(c)
    future = dynamics.position(rollout(dynamics, state, _agents(u) * f.signals.scale))
    return torch.cat([past, future.detach()], 2)


def _agents(u: Tensor) -> Tensor:
    return u if u.ndim == 4 else u[:, None]


def condition(position: Tensor, velocity: Tensor) -> Tensor:
    """The condition that a TrackSet of unit 1 with ``pose`` gives to agents ``[n, agents, 2]``."""
    back = torch.arange(PAST - 1, -1, -1.0)[:, None] * INTERVAL
    past = (position[..., None, :] - back * velocity[..., None, :]).flatten(0, 1).double()
    frames = Frames.of(past, 1.0, FUTURE)
    c = torch.cat([frames.condition(past), frames.pose()], 1)
    return c.unflatten(0, position.shape[:2]) if position.shape[1] > 1 else c


def recorded(paths: Float[Tensor, "n a t 2"]) -> Tracks:
    """Paths as one recording: each scene after the one before."""
    n, agents, steps, _ = paths.shape
    agent = torch.arange(n * agents).repeat_interleave(steps)
    frame = (torch.arange(n)[:, None] * 2 * steps + torch.arange(steps)).repeat_interleave(agents, 0).flatten()
    return Tracks(agent, frame, paths.reshape(-1, 2).double(), "cars of a known cost")


def roads(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Starts ``[n, 1, 2]`` off the lane, at another speed and heading."""
    rng = stream(seed, 0, 0, 5)
    noise = noise_like(torch.empty(n, 1, 3), rng)
    position = torch.stack([torch.zeros(n, 1), 1.5 * noise[..., 0]], -1)
    speed, angle = SPEED + 2 * noise[..., 1], 0.12 * noise[..., 2]
    return position, speed[..., None] * torch.stack([angle.cos(), angle.sin()], -1)


def meetings(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Starts ``[n, 2, 2]`` of two cars on both sides of the lane that both want, one a little behind the other."""
    noise = noise_like(torch.empty(n, 2, 3), stream(seed, 0, 0, 6))
    along = torch.tensor([0.0, -1.0]) + 0.5 * noise[..., 0]
    position = torch.stack([along, torch.tensor([3.0, -3.0]) + 0.3 * noise[..., 1]], -1)
    speed = SPEED + 0.3 * noise[..., 2]
    return position, torch.stack([speed, torch.zeros_like(speed)], -1)


def raw_weights(model: InverseControl) -> Tensor:
    """Learned weights of the features in the controls' own units."""
    f: Any = model.f
    scale = f.signals.scale.square().repeat(2)
    return f.cost.log_weight.exp().detach() / f.cost.scale / torch.cat([torch.ones(3), scale])


def track_set(train: Tensor, test: Tensor, **options: Any) -> TrackSet:
    """A data set of paths, as a file of them would give."""
    parts = {"train": recorded(train), "test": recorded(test)}
    return TrackSet(
        lambda part: [parts["test" if part == "test" else "train"]], "cars of a known cost", past=PAST, future=FUTURE,
        mirror=False, pose=True, **options,
    )  # fmt: skip
