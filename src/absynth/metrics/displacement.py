"""How far predicted paths are from what happened: average and final displacement, of the best of k predictions.

The selection rule is stated with every figure. *Separate minima*: of k predictions, ADE is that of the one with the
least average displacement and FDE that of the one with the least final displacement, each for every agent by itself.
*One prediction by its plan*: both figures are of the one prediction that is nearest at the sub-goals, which gives
larger numbers; the code of Pang et al. 2021 does so. Both baselines are here, so that they follow the same rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError
from absynth.seeding import noise_like
from absynth.types import Rng

RULE = "best of k by separate minima: ADE and FDE each of the prediction that has it least, averaged over agents"


class Displacement(NamedTuple):
    """Of each agent, in the tracks' unit of length."""

    average: Float[Tensor, "n"]
    """ADE: over the steps."""
    final: Float[Tensor, "n"]
    """FDE: at the last step."""


def best_of(paths: Float[Tensor, "k _ _ 2"], truth: Float[Tensor, "n steps 2"]) -> Displacement:
    """The least displacements of k predictions, by separate minima.

    >>> truth = torch.zeros(1, 2, 2)
    >>> paths = torch.tensor([[[[0.0, 0.0], [3.0, 4.0]]], [[[9.0, 0.0], [0.0, 0.0]]]])
    >>> best_of(paths, truth)
    Displacement(average=tensor([2.5000]), final=tensor([0.]))
    """
    if paths.shape[1:] != truth.shape:
        raise InputError(f"paths must be [k, {', '.join(map(str, truth.shape))}], got {list(paths.shape)}")
    distance = (paths - truth).norm(dim=-1)
    return Displacement(distance.mean(-1).amin(0), distance[..., -1].amin(0))


def best_by_plan(
    paths: Float[Tensor, "k _ _ 2"], truth: Float[Tensor, "n steps 2"], goals: Sequence[int]
) -> Displacement:
    """The displacements of the one prediction per agent that is nearest to the truth at the sub-goals.

    The prediction has the least sum of squared distances at these steps, as in the code of Pang et al. 2021.

    >>> truth = torch.zeros(1, 2, 2)
    >>> paths = torch.tensor([[[[0.0, 0.0], [3.0, 4.0]]], [[[9.0, 0.0], [0.0, 0.0]]]])
    >>> best_by_plan(paths, truth, goals=[1])
    Displacement(average=tensor([4.5000]), final=tensor([0.]))
    """
    if paths.shape[1:] != truth.shape:
        raise InputError(f"paths must be [k, {', '.join(map(str, truth.shape))}], got {list(paths.shape)}")
    distance = (paths - truth).norm(dim=-1)
    chosen = distance[..., list(goals)].square().sum(-1).argmin(0)
    best = distance[chosen, torch.arange(len(truth))]
    return Displacement(best.mean(-1), best[..., -1])


def constant_velocity(past: Float[Tensor, "n past 2"], steps: int) -> Float[Tensor, "n steps 2"]:
    """Every agent repeats its last step."""
    count = torch.arange(1, steps + 1, dtype=past.dtype, device=past.device)
    return past[:, None, -1] + (past[:, -1] - past[:, -2])[:, None] * count[:, None]


def stochastic_constant_velocity(
    past: Float[Tensor, "n past 2"],
    steps: int,
    k: int = 20,
    *,
    angle: float = 15.0,
    log_speed: float = 0.25,
    rng: Rng,
) -> Float[Tensor, "k n steps 2"]:
    """Every agent repeats its last step, turned and made faster or slower at random (after Schöller et al. 2020).

    Args:
        past: observed positions.
        steps: to predict.
        k: predictions.
        angle: standard deviation of the turn, in degrees.
        log_speed: standard deviation of the logarithm of the factor on the speed.
        rng: draws both.
    """
    noise = noise_like(past.new_empty(len(past), k, 2), rng).transpose(0, 1)
    turn, factor = noise[..., 0] * (angle * torch.pi / 180), (noise[..., 1] * log_speed).exp()
    step = (past[:, -1] - past[:, -2]).expand(k, -1, -1)
    cos, sin = factor * turn.cos(), factor * turn.sin()
    turned = torch.stack([cos * step[..., 0] - sin * step[..., 1], sin * step[..., 0] + cos * step[..., 1]], -1)
    count = torch.arange(1, steps + 1, dtype=past.dtype, device=past.device)
    return past[None, :, None, -1] + turned[:, :, None] * count[:, None]
