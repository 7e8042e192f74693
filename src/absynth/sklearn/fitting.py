"""The loop inside an estimator: batches by weight, AdamW with a warm-up and a half cosine, and a budget in minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from absynth.algorithms.algorithm import Algorithm
from absynth.errors import InputError
from absynth.seeding import stream
from absynth.types import Batch
from absynth.updates import backward

WARM_UP = 20
VALIDATIONS = 20


def train(
    algorithm: Algorithm,
    x: Tensor,
    weights: np.ndarray,
    *,
    steps: int,
    batch: int = 256,
    lr: float = 3e-3,
    decay: float = 1e-3,
    minutes: int | float | None = None,
    y: Tensor | None = None,
    seed: int,
    cosine: bool = True,
    validate: Callable[[], float] | None = None,
    players: tuple[str, ...] = ("ebm",),
) -> int:
    """Train an algorithm on rows in memory.

    Args:
        algorithm: Learns from ``Batch(x, y=y)``.
        x: Rows ``[n, d]``.
        weights: How often each row counts, ``[n]``: rows are drawn with replacement in proportion.
        steps: Number of updates.
        batch: Rows of an update.
        lr: Learning rate at its highest.
        decay: Weight decay.
        minutes: Time at most: the first updates are timed and ``steps`` lowered if they would take longer.
        y: Classes ``[n]``, −1 where unknown.
        seed: Seed of batches and noise.
        cosine: Lower the learning rate to 0; False keeps it, for training that continues later.
        validate: A figure of held-out rows, higher is better. It is computed now and then, and the parameters that were
            best by it, those before training among them, are kept.
        players: Names of the players that learn.

    Returns:
        Number of updates made.

    Raises:
        InputError: ``minutes`` or ``steps`` is not positive.
    """
    if steps < 1 or (minutes is not None and not minutes > 0):
        raise InputError(f"expected a positive number of steps and minutes, got {steps} and {minutes}")
    modules = {name: algorithm.get_submodule(name) for name in players}
    parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr, betas=(0.9, 0.99), weight_decay=decay)
    edges = torch.from_numpy(np.cumsum(weights) / np.sum(weights))
    rng, begun, step = stream(seed), time.perf_counter(), 0
    best = None if validate is None else (validate(), [p.detach().clone() for p in parameters])
    while step < steps:
        factor = min(1.0, (step + 1) / WARM_UP) * (0.5 * (1 + math.cos(math.pi * step / steps)) if cosine else 1.0)
        optimizer.param_groups[0]["lr"] = lr * factor
        # By position on the line of weights, so that a row of weight 2 is drawn as two equal rows would be.
        place = torch.rand(batch, generator=rng, dtype=torch.float64)
        rows = torch.searchsorted(edges, place, right=True).clamp_(max=len(x) - 1)
        algorithm.set_progress(step / steps)
        losses = algorithm.losses(Batch(x[rows], y=None if y is None else y[rows]), rng=rng)
        optimizer.zero_grad(set_to_none=True)
        backward(losses, modules)
        nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        step += 1
        if minutes is not None and step == min(10, steps):
            spent = time.perf_counter() - begun
            steps = min(steps, max(step, int(60 * minutes * step / spent)))
        if validate is not None and best is not None and (step % max(1, steps // VALIDATIONS) == 0 or step == steps):
            figure = validate()
            if figure > best[0]:
                best = figure, [p.detach().clone() for p in parameters]
    if best is not None:
        with torch.no_grad():
            for p, kept in zip(parameters, best[1], strict=True):
                p.copy_(kept)
    return step


def default_steps(x: Tensor) -> int:
    """An update for every eight different values, 100 to 600: a small table is learned by heart otherwise."""
    return int(min(600, max(100, x.numel() / 8)))


def chunks(function, x: Tensor, size: int = 1024) -> Tensor:
    """The function of rows, evaluated in float64 without gradients, some rows at a time.

    In float64 a row's value does not depend on the rows evaluated with it, to twelve digits.
    """
    with torch.no_grad():
        return torch.cat([function(part) for part in x.double().split(size)])
