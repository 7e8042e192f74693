"""Costs of controls, and the tracks that controls make: the networks of inverse optimal control.

A cost is a sum over the steps of a path and over its agents. What it sees of an agent at a step are *signals*: distance
from the centre of its lane, speed above the wanted speed, velocity across the lane, each control and its change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.networks.dynamics import Dynamics, controls_of, rollout
from absynth.networks.mlp import Activation, mlp


class Scene(nn.Module):
    """Positions of a window of tracks, from what its data set predicts, and back (:class:`absynth.data.tracks.Frames`).

    Args:
        past: Positions observed.
        unit: An ordinary agent's step, in the tracks' unit of length.
        interval: Seconds between positions.
        pose: Whether conditions end with the agent's last position and heading; else those are 0 and the first axis.
    """

    def __init__(self, past: int, unit: float, interval: float, pose: bool) -> None:
        super().__init__()
        self.past, self.unit, self.interval, self.pose = past, unit, interval, pose

    def start(self, c: Float[Tensor, "*b c"]) -> tuple[Tensor, Tensor]:
        """Last position and velocity of each agent, ``[*b, 2]``."""
        _, step = self._frame(c)
        origin = c[..., -4:-2] if self.pose else torch.zeros_like(step)
        return origin, self._turned(c, step) / self.interval

    def positions(self, x: Float[Tensor, "*b t 2"], c: Float[Tensor, "*b c"]) -> Float[Tensor, "*b t 2"]:
        """Positions of what a data set predicts: residuals to constant velocity in the agent's frame."""
        (scale, step), (origin, _) = self._frame(c), self.start(c)
        count = torch.arange(1, x.shape[-2] + 1, dtype=x.dtype, device=x.device)[:, None]
        return origin[..., None, :] + self._turned(c, x * scale[..., None] + count * step[..., None, :])

    def residuals(self, p: Float[Tensor, "*b t 2"], c: Float[Tensor, "*b c"]) -> Float[Tensor, "*b t 2"]:
        """The inverse of :meth:`positions`."""
        (scale, step), (origin, _) = self._frame(c), self.start(c)
        count = torch.arange(1, p.shape[-2] + 1, dtype=p.dtype, device=p.device)[:, None]
        return (self._turned(c, p - origin[..., None, :], -1) - count * step[..., None, :]) / scale[..., None]

    def _frame(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """Length of the frame's unit, and the last step in the frame, in the tracks' unit."""
        numbers = 2 * (self.past - 1)
        scale = self.unit * c[..., numbers : numbers + 1].exp()
        return scale, -c[..., numbers - 2 : numbers] / 4 * scale

    def _turned(self, c: Tensor, v: Tensor, way: int = 1) -> Tensor:
        if not self.pose:
            return v
        cos, sin = c[..., -2], way * c[..., -1]
        if v.ndim > cos.ndim + 1:
            cos, sin = cos[..., None], sin[..., None]
        return torch.stack([cos * v[..., 0] - sin * v[..., 1], sin * v[..., 0] + cos * v[..., 1]], -1)


class Signals(nn.Module):
    """What a cost sees of agents at a step.

    Args:
        dynamics: Dynamics of every agent.
        scale: Typical size of each control.
        road: Direction of the road in degrees from the first axis; None is each agent's own at the start.
        lanes: Where lanes have their centres, to the left of the origin; none: where the agent is at the start.
        speed: Wanted speed; 0 is the agent's own at the start.
        radius: Distance at which two agents are near, in the tracks' unit.
    """

    scale: Tensor
    lanes: Tensor

    def __init__(
        self,
        dynamics: Dynamics,
        scale: Sequence[float],
        *,
        road: float | None = None,
        lanes: Sequence[float] = (),
        speed: float = 0.0,
        radius: float = 1.0,
    ) -> None:
        super().__init__()
        self.dynamics, self.road, self.speed, self.radius = dynamics, road, speed, radius
        self.register_buffer("scale", torch.tensor(list(scale)))
        self.register_buffer("lanes", torch.tensor(list(lanes)))

    def plan(self, position: Float[Tensor, "*b 2"], velocity: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 4"]:
        """What each agent keeps to: the unit vector across its road, its lane's centre along it, the wanted speed."""
        if self.road is None:
            length = velocity.norm(dim=-1, keepdim=True)
            along = torch.where(length > 1e-6, velocity / length.clamp(min=1e-6), torch.ones_like(velocity) * 0.5**0.5)
        else:
            angle = torch.as_tensor(self.road, dtype=position.dtype, device=position.device).deg2rad()
            along = torch.stack([angle.cos(), angle.sin()]).expand_as(velocity)
        across = torch.stack([-along[..., 1], along[..., 0]], -1)
        centre = (across * position).sum(-1, keepdim=True)
        if len(self.lanes):
            nearest = (centre - self.lanes).abs().argmin(-1, keepdim=True)
            centre = self.lanes.to(centre)[nearest]
        speed = velocity.norm(dim=-1, keepdim=True)
        return torch.cat([across, centre, torch.full_like(speed, self.speed) if self.speed else speed], -1)

    def forward(
        self,
        state: Float[Tensor, "*b agents d"],
        control: Float[Tensor, "*b agents m"],
        before: Float[Tensor, "*b agents m"],
        plan: Float[Tensor, "*b agents 4"],
    ) -> Float[Tensor, "*b agents s"]:
        """Signals of agents after a step; controls are in units of ``scale``, ``before`` those of the last step."""
        position, velocity = self.dynamics.position(state), self.dynamics.velocity(state)
        across = plan[..., :2]
        offset = (across * position).sum(-1, keepdim=True) - plan[..., 2:3]
        sideways = (across * velocity).sum(-1, keepdim=True)
        # Not the norm, whose second derivatives are infinite where an agent stands still.
        speed = (velocity.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        return torch.cat([offset, sideways, speed - plan[..., 3:4], control, control - before], -1)

    def nearness(self, state: Float[Tensor, "*b agents d"]) -> Float[Tensor, "*b"]:
        """Σ over pairs of agents of exp(−distance² / 2 radius²)."""
        position = self.dynamics.position(state)
        squared = (position[..., :, None, :] - position[..., None, :, :]).square().sum(-1)
        near = (-0.5 * squared / self.radius**2).exp()
        return (near.sum((-1, -2)) - near.shape[-1]) / 2

    def names(self) -> list[str]:
        """Names of the features of a linear cost."""
        controls = getattr(self.dynamics, "names", [f"control {i}" for i in range(self.dynamics.controls)])
        return ["lane offset", "sideways speed", "speed error", *controls, *(f"change of {n}" for n in controls)]


class LinearCost(nn.Module):
    """Σ_k exp(w_k) φ_k / scale_k: squares of the signals, and the nearness of agents where there are several.

    Args:
        scale: Mean of each feature in the demonstrations, so that weights compare.
    """

    scale: Tensor

    def __init__(self, scale: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(list(scale)))
        self.log_weight = nn.Parameter(torch.zeros(len(scale)))

    def forward(self, signals: Float[Tensor, "*b agents s"], near: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        return (features(signals, near)[..., : len(self.scale)] / self.scale * self.log_weight.exp()).sum(-1)


class NetworkCost(nn.Module):
    """A network of the scaled signals of one agent, above a quadratic that keeps controls finite."""

    scale: Tensor

    def __init__(self, scale: Sequence[float], agents: int, width: int, act: Activation) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(list(scale)))
        self.signals = len(scale) - (agents > 1)
        self.net = mlp([self.signals, width, width, 1], act)
        self.log_weight = nn.Parameter(torch.full((len(scale),), -3.0))

    def forward(self, signals: Float[Tensor, "*b agents s"], near: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        quadratic = (features(signals, near)[..., : len(self.scale)] / self.scale * self.log_weight.exp()).sum(-1)
        return quadratic + self.net(signals / self.scale[: self.signals].sqrt()).sum((-1, -2))


def features(signals: Float[Tensor, "*b agents s"], near: Float[Tensor, "*b"]) -> Float[Tensor, "*b k"]:
    """Squares of the signals summed over agents, and nearness: what a linear cost weighs."""
    return torch.cat([signals.square().sum(-2), near[..., None]], -1)


class ControlF(nn.Module):
    """f(u, c) = −Σ_t cost: the negative energy of controls ``[b, t, m]`` or ``[b, agents, t, m]`` given a condition.

    Controls are in units of their typical size; conditions are those of the data set of tracks.
    """

    def __init__(self, scene: Scene, signals: Signals, cost: nn.Module) -> None:
        super().__init__()
        self.scene, self.signals, self.cost = scene, signals, cost

    def start(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """First state and plan of each agent, ``[b, agents, d]`` and ``[b, agents, 4]``."""
        c = c if c.ndim == 3 else c[:, None]
        position, velocity = self.scene.start(c)
        return self.signals.dynamics.state(position, velocity), self.signals.plan(position, velocity)

    def states(self, u: Tensor, state: Tensor) -> Tensor:
        """States ``[b, agents, t, d]``."""
        return rollout(self.signals.dynamics, state, _agents(u) * self.signals.scale)

    def stage(self, state: Tensor, control: Tensor, before: Tensor, plan: Tensor) -> Tensor:
        """Cost of one step that ends in ``state``; a leading shape, then agents."""
        near: Any = self.signals.nearness(state)
        return self.cost(self.signals(state, control, before, plan), near)

    def _steps(self, u: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What :meth:`stage` takes, for every step: ``[b, t, agents, ...]``."""
        first, plan = self.start(c)
        states, u = self.states(u, first).transpose(1, 2), _agents(u).transpose(1, 2)
        before = torch.cat([torch.zeros_like(u[:, :1]), u[:, :-1]], 1)
        return states, u, before, plan[:, None].expand(-1, u.shape[1], -1, -1)

    def forward(self, u: Tensor, c: Tensor) -> Float[Tensor, "b"]:
        return -self.stage(*self._steps(u, c)).sum(1)

    def features(self, u: Tensor, c: Tensor) -> Float[Tensor, "b k"]:
        """Sums over steps of the features of a linear cost."""
        states, control, before, plan = self._steps(u, c)
        return features(self.signals(states, control, before, plan), self.signals.nearness(states)).sum(1)

    def path(self, u: Tensor, c: Tensor) -> Tensor:
        """What the data set predicts, ``[b, t, 2]`` or with agents, of controls."""
        first, _ = self.start(c)
        p = self.signals.dynamics.position(self.states(u, first))
        return self.scene.residuals(p if c.ndim == 3 else p[:, 0], c)

    def infer(self, x: Tensor, c: Tensor, tolerance: float) -> Tensor:
        """Controls in units of their typical size that make a path."""
        p = self.scene.positions(x, c)
        first, _ = self.start(c)
        flat = p.reshape(-1, *p.shape[-2:])
        u = controls_of(self.signals.dynamics, first.flatten(0, 1), flat, self.signals.scale, tolerance)
        return (u / self.signals.scale).view(*p.shape[:-1], -1)


def _agents(u: Tensor) -> Tensor:
    return u if u.ndim == 4 else u[:, None]
