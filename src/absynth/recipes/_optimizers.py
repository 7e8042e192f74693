"""Optimizers and learning-rate schedules that recipes share."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import nn
from torch.optim import Adam, Optimizer


def adam(
    algorithm: nn.Module,
    rates: Mapping[str, float],
    betas: tuple[float, float] = (0.9, 0.999),
    *,
    weight_decay: Mapping[str, float] | None = None,
    fused: bool = False,
) -> dict[str, Optimizer]:
    """One Adam per player.

    Args:
        algorithm: The model; players are its child modules.
        rates: Learning rate of each player that learns; players that the model lacks are skipped.
        betas: Adam's β.
        weight_decay: L2 penalty of a player, 0 where it is not named.
        fused: Whether to use the fused implementation.
    """
    decays = weight_decay or {}
    players = dict(algorithm.named_children())
    return {
        name: Adam(players[name].parameters(), rate, betas, weight_decay=decays.get(name, 0.0), fused=fused or None)
        for name, rate in rates.items()
        if name in players
    }


def linear_end(step: int, steps: int, share: float) -> float:
    """1, then linearly to 0 over the last ``share`` of the updates."""
    return min(1.0, (steps - step) / max(share * steps, 1.0))


def half_cosine(step: int, steps: int) -> float:
    """From 1 to 0 by a half cosine over all updates."""
    return 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))
