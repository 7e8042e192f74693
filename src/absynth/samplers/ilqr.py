"""iLQR: the controls of least cost through known dynamics, by linear-quadratic approximations about the current path.

Li and Todorov 2004; Tassa, Erez, Todorov 2012. With z_t = (state, last control) and F the dynamics of z, each iteration
expands the cost of a step to second order and F to first, solves that control problem backwards, and tries the found
change of the controls at several lengths; a path of higher cost is refused and the problem damped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, vmap

LENGTHS = (1.0, 0.5, 0.2, 0.05)


def ilqr(
    step: Callable[[Tensor, Tensor], Tensor],
    cost: Callable[[Tensor, Tensor, Tensor], Tensor],
    start: Float[Tensor, "b d"],
    plan: Float[Tensor, "b p"],
    controls: Float[Tensor, "b t m"],
    *,
    iterations: int,
) -> Float[Tensor, "b t m"]:
    """Controls of a local minimum of Σ_t cost(z_t, u_t, plan), z_{t+1} = step(z_t, u_t).

    Args:
        step: Dynamics of one row, ``(z [d], u [m]) -> [d]``, that ``torch.func`` can differentiate.
        cost: Cost of a step of one row, ``(z [d], u [m], plan [p]) -> []``.
        start: z_0.
        plan: What a row's cost depends on besides.
        controls: Where the iterations begin.
        iterations: Number of iterations.
    """
    d = start.shape[1]

    def joined(w: Tensor, p: Tensor) -> Tensor:
        return cost(w[:d], w[d:], p)

    def roll(u: Tensor) -> tuple[Tensor, Tensor]:
        z, states = start, []
        for t in range(u.shape[1]):
            states.append(z)
            z = vmap(step)(z, u[:, t])
        path = torch.stack(states, 1)
        return path, vmap(vmap(cost, (0, 0, None)))(path, u, plan).sum(1)

    u = controls
    z, now = roll(u)
    damping = torch.full_like(now, 1e-3)
    jacobian = vmap(vmap(jacfwd(lambda w: step(w[:d], w[d:]))))
    slope, curve = vmap(vmap(grad(joined), (0, None))), vmap(vmap(jacrev(grad(joined)), (0, None)))
    for _ in range(iterations):
        w = torch.cat([z, u], 2)
        values, vectors = torch.linalg.eigh(curve(w, plan))
        second = vectors * values.clamp(min=0)[..., None, :] @ vectors.mT  # the nearest convex problem
        open_, gains = _backward(jacobian(w), slope(w, plan), second, damping, d)
        best_z, best_u, best = z, u, now
        for length in LENGTHS:
            other, moved = [], start
            for t in range(u.shape[1]):
                change = length * open_[:, t] + (gains[:, t] @ (moved - z[:, t])[..., None])[..., 0]
                other.append(u[:, t] + change)
                moved = vmap(step)(moved, other[-1])
            tried = torch.stack(other, 1)
            path, then = roll(tried)
            better = then < best  # False for what is not finite
            best_z, best_u = (torch.where(better[:, None, None], a, b) for a, b in ((path, best_z), (tried, best_u)))
            best = torch.where(better, then, best)
        damping = torch.where(best < now, damping / 5, damping * 10).clamp(1e-8, 1e8)
        z, u, now = best_z, best_u, best
    return u


def least_cost(f: Any, c: Tensor, u: Tensor, *, iterations: int) -> Tensor:
    """Controls of least cost by iLQR, of one agent or several jointly.

    Args:
        f: A :class:`absynth.networks.controls.ControlF`.
        c: Conditions, ``[b, c]`` or ``[b, agents, c]``.
        u: Where the iterations begin, ``[b, t, m]`` or ``[b, agents, t, m]``.
        iterations: Number of iterations.
    """
    state, plan = f.start(c)
    agents, d, m = state.shape[1], state.shape[2], u.shape[-1]
    split = agents * d

    def step(z: Tensor, v: Tensor) -> Tensor:
        moved = f.signals.dynamics.step(z[:split].view(agents, d), v.view(agents, m) * f.signals.scale)
        return torch.cat([moved.flatten(), v])

    def cost(z: Tensor, v: Tensor, p: Tensor) -> Tensor:
        last, now = z[split:].view(agents, m), v.view(agents, m)
        return f.stage(step(z, v)[:split].view(agents, d), now, last, p.view(agents, -1))

    if not len(c):
        return u
    begin = torch.cat([state.flatten(1), state.new_zeros(len(c), agents * m)], 1)
    rows = u.view(len(c), agents, -1, m).transpose(1, 2).flatten(2)
    with torch.no_grad():
        found = ilqr(step, cost, begin, plan.flatten(1), rows, iterations=iterations)
    return found.unflatten(2, (agents, m)).transpose(1, 2).reshape(u.shape)


def _backward(
    jacobian: Float[Tensor, "b t d w"],
    slope: Float[Tensor, "b t w"],
    second: Float[Tensor, "b t w w"],
    damping: Float[Tensor, "b"],
    d: int,
) -> tuple[Tensor, Tensor]:
    """Changes of the controls ``[b, t, m]`` and their feedback gains ``[b, t, m, d]``, from the last step back."""
    b, steps, width = slope.shape
    value, curve = slope.new_zeros(b, d), slope.new_zeros(b, d, d)
    ridge = damping[:, None, None] * torch.eye(width - d, dtype=slope.dtype, device=slope.device)
    changes, gains = [], []
    for t in reversed(range(steps)):
        f = jacobian[:, t]
        q = slope[:, t] + (f.mT @ value[..., None])[..., 0]
        qq = second[:, t] + f.mT @ curve @ f
        solved = torch.linalg.solve(
            qq[:, d:, d:] + ridge + 1e-9 * torch.eye(width - d).to(ridge),
            torch.cat([q[:, d:, None], qq[:, d:, :d]], 2),
        )
        change, gain = -solved[..., 0], -solved[..., 1:]
        value = q[:, :d] + (qq[:, :d, d:] @ change[..., None])[..., 0]
        curve = qq[:, :d, :d] + qq[:, :d, d:] @ gain
        curve = (curve + curve.mT) / 2
        changes.append(change)
        gains.append(gain)
    return torch.stack(changes[::-1], 1), torch.stack(gains[::-1], 1)
