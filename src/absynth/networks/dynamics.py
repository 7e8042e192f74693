"""Known dynamics of moving agents: states that follow from a start and controls, and controls that follow from a path.

A dynamics has ``controls`` (numbers per step), and maps that take any leading shape:

    state(position [..., 2], velocity [..., 2]) -> [..., d]           the state of an agent that moves so
    step(state [..., d], control [..., controls]) -> [..., d]         one time step later
    position(state) -> [..., 2],  velocity(state) -> [..., 2]

Those here are semi-implicit Euler steps: the speed changes first, then the heading, then the position.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacfwd, vmap

from absynth.errors import InputError


@runtime_checkable
class Dynamics(Protocol):
    """What a module:Class of yours must have; it is made by ``Class(interval)``, the seconds of a time step."""

    controls: int

    def state(self, position: Tensor, velocity: Tensor) -> Tensor: ...
    def step(self, state: Tensor, control: Tensor) -> Tensor: ...
    def position(self, state: Tensor) -> Tensor: ...
    def velocity(self, state: Tensor) -> Tensor: ...


class DoubleIntegrator:
    """A point whose acceleration is its control: state x, y and its velocity, in the tracks' unit and seconds."""

    controls = 2
    names = ("acceleration x", "acceleration y")

    def __init__(self, interval: float = 1.0) -> None:
        self.interval = interval

    def state(self, position: Tensor, velocity: Tensor) -> Tensor:
        return torch.cat([position, velocity], -1)

    def step(self, state: Tensor, control: Tensor) -> Tensor:
        velocity = state[..., 2:] + self.interval * control
        return torch.cat([state[..., :2] + self.interval * velocity, velocity], -1)

    def position(self, state: Tensor) -> Tensor:
        return state[..., :2]

    def velocity(self, state: Tensor) -> Tensor:
        return state[..., 2:]

    def rollout(self, state: Tensor, controls: Tensor) -> Tensor:
        """All states at once: sums in place of steps."""
        velocity = state[..., None, 2:] + self.interval * controls.cumsum(-2)
        return torch.cat([state[..., None, :2] + self.interval * velocity.cumsum(-2), velocity], -1)


class Unicycle:
    """A wheeled agent that turns at any speed: controls acceleration and turn rate; state x, y, speed, heading."""

    controls = 2
    names: tuple[str, ...] = ("acceleration", "turn rate")

    def __init__(self, interval: float = 1.0) -> None:
        self.interval = interval

    def turn(self, speed: Tensor, control: Tensor) -> Tensor:
        """Change of the heading per second."""
        return control

    def state(self, position: Tensor, velocity: Tensor) -> Tensor:
        heading = torch.atan2(velocity[..., 1:], velocity[..., :1])
        return torch.cat([position, velocity.norm(dim=-1, keepdim=True), heading], -1)

    def step(self, state: Tensor, control: Tensor) -> Tensor:
        return self.rollout(state, control[..., None, :])[..., 0, :]

    def position(self, state: Tensor) -> Tensor:
        return state[..., :2]

    def velocity(self, state: Tensor) -> Tensor:
        speed, heading = state[..., 2:3], state[..., 3:4]
        return speed * torch.cat([heading.cos(), heading.sin()], -1)

    def rollout(self, state: Tensor, controls: Tensor) -> Tensor:
        """All states at once: sums in place of steps."""
        speed = state[..., None, 2:3] + self.interval * controls[..., :1].cumsum(-2)
        heading = state[..., None, 3:4] + self.interval * self.turn(speed, controls[..., 1:]).cumsum(-2)
        moved = speed * torch.cat([heading.cos(), heading.sin()], -1)
        position = state[..., None, :2] + self.interval * moved.cumsum(-2)
        return torch.cat([position, speed, heading], -1)


class Bicycle(Unicycle):
    """A car: controls acceleration and steering angle; heading' = speed · tan(angle) / wheelbase (Rajamani 2012).

    Args:
        interval: Seconds of a time step.
        wheelbase: Distance of the axles, in the tracks' unit of length.
    """

    names = ("acceleration", "steering angle")

    def __init__(self, interval: float = 1.0, wheelbase: float = 2.7) -> None:
        super().__init__(interval)
        self.wheelbase = wheelbase

    def turn(self, speed: Tensor, control: Tensor) -> Tensor:
        return speed * torch.tan(control) / self.wheelbase


BUILT_IN = {"double_integrator": DoubleIntegrator, "unicycle": Unicycle, "bicycle": Bicycle}


def find(name: str, interval: float, wheelbase: float) -> Dynamics:
    """The dynamics of a name, or ``module:Class`` of yours, checked.

    Raises:
        InputError: There is none, or it is not differentiable.
    """
    if name == "bicycle":
        return Bicycle(interval, wheelbase)
    if name in BUILT_IN:
        return BUILT_IN[name](interval)
    module, _, cls = name.partition(":")
    if not cls:
        raise InputError(f"expected --dynamics {', '.join(BUILT_IN)} or module:Class of yours, got {name!r}")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        found = getattr(importlib.import_module(module), cls)(interval)
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"expected dynamics module:Class made by Class(interval), got {name!r} ({error})") from None
    missing = [part for part in ("controls", "state", "step", "position", "velocity") if not hasattr(found, part)]
    if missing:
        raise InputError(f"{name} must have controls, state, step, position and velocity, it lacks {missing[0]}")
    _check_differentiable(name, found)
    return found


def _check_differentiable(name: str, dynamics: Dynamics) -> None:
    u = torch.full((1, 3, dynamics.controls), 0.1, requires_grad=True)
    start = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.5]])
    try:
        path = dynamics.position(rollout(dynamics, dynamics.state(*start), u))
        found = torch.autograd.grad(path.square().sum(), u, allow_unused=True) if path.requires_grad else (None,)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        why = str(error).splitlines()[0]
        raise InputError(f"{name} must be differentiable torch operations of any leading shape, got {why}") from None
    (gradient,) = found
    if gradient is None or not bool(gradient.isfinite().all()) or not bool(gradient.abs().sum() > 0):
        raise InputError(f"{name} must be differentiable, its positions have no gradient in the controls: use torch")


def rollout(
    dynamics: Dynamics, state: Float[Tensor, "*b d"], controls: Float[Tensor, "*b t m"]
) -> Float[Tensor, "*b t d"]:
    """The states after each control."""
    if hasattr(dynamics, "rollout"):
        return dynamics.rollout(state, controls)
    states = []
    for control in controls.unbind(-2):
        state = dynamics.step(state, control)
        states.append(state)
    return torch.stack(states, -2)


def controls_of(
    dynamics: Dynamics,
    state: Float[Tensor, "b d"],
    path: Float[Tensor, "b t 2"],
    scale: Float[Tensor, "m"],
    tolerance: float,
    *,
    iterations: int = 8,
) -> Float[Tensor, "b t m"]:
    """Controls whose positions fit a path: the most probable, for controls N(0, scale²), positions N(·, tolerance²).

    Levenberg-Marquardt in controls of unit scale, from none.
    """
    b, steps, m = len(path), path.shape[1], len(scale)

    def miss(v: Tensor, s: Tensor, p: Tensor) -> Tensor:
        x = dynamics.position(rollout(dynamics, s, scale * v.view(steps, m)))
        return ((x - p) / tolerance).flatten()

    with torch.no_grad():
        v, damping = path.new_zeros(b, steps * m), path.new_full((b, 1, 1), 1.0)
        one = torch.eye(steps * m, dtype=path.dtype, device=path.device)

        def loss(v: Tensor) -> Tensor:
            return vmap(miss)(v, state, path).square().sum(1) + v.square().sum(1)

        now = loss(v)
        for _ in range(iterations):
            r, jacobian = vmap(miss)(v, state, path), vmap(jacfwd(miss))(v, state, path)
            normal = jacobian.mT @ jacobian + one
            gradient = (jacobian.mT @ r[..., None])[..., 0] + v
            move = torch.linalg.solve(normal + damping * normal.diagonal(dim1=1, dim2=2).diag_embed(), gradient)
            then = loss(v - move)
            better = (then < now) & then.isfinite()
            v, now = torch.where(better[:, None], v - move, v), torch.where(better, then, now)
            damping = torch.where(better[:, None, None], damping / 10, damping * 10).clamp(1e-6, 1e6)
    return scale * v.view(b, steps, m)
