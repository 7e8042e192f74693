"""Samples from a trained model. Sample i is the same however many are drawn at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.errors import InputError
from absynth.report import TaskResult
from absynth.seeding import Streams
from absynth.tasks.opened import Opened, lengthened, open_run, result


def samples(model: Algorithm, n: int, *, seed: int, batch: int = 500, device: torch.device | str = "cpu") -> Tensor:
    """n examples ``[n, *event]``; example i follows from (seed, i) alone, to rounding.

    Args:
        model: a trained algorithm.
        n: how many.
        seed: of the noise.
        batch: chains that run at once: memory, not content.
        device: where the model is.
    """
    if n < 1 or batch < 1:
        raise InputError(f"expected at least 1 sample and 1 chain at once, got n={n} and batch={batch}")
    parts = []
    for start in range(0, n, batch):
        rows = range(start, min(start + batch, n))
        parts.append(model.sample(len(rows), rng=Streams(seed, rows, device=device)).cpu())
    return torch.cat(parts)


def with_steps(opened: Opened, steps: int) -> Algorithm:
    """The opened model, with chains of another length than in training."""
    name = opened.sampler_name
    if name is None:
        raise InputError(
            f"--steps sets the length of the one chain that draws, {opened.recipe.name()} draws otherwise: leave it out"
        )
    setattr(opened.model, name, lengthened(getattr(opened.model, name), steps))
    return opened.model


def command(
    run: Path, n: int = 100, seed: int = 0, steps: int = 0, batch: int = 500, columns: int = 10, device: str = "auto"
) -> TaskResult:
    """Draw samples: a picture, and all numbers in samples.npz.

    Args:
        run: directory of a trained run.
        n: how many samples.
        seed: of the noise; the same seed gives the same samples.
        steps: length of the chain that draws; 0 is as in training.
        batch: chains that run at once (memory only; the samples stay the same).
        columns: samples in a row of the picture.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    if steps:
        with_steps(opened, steps)
    x = samples(opened.model, n, seed=seed, batch=batch, device=opened.device)
    folder = opened.folder("sample")
    np.savez_compressed(folder / "samples.npz", x=x.numpy())
    text = f"{n} samples, drawn one stream of noise each." + (f" Chains of {steps} steps." if steps else "")
    found = result("sample", "Samples", seed, text)
    found.add(opened.recipe.show(x, folder / "samples.png", columns=columns))
    found.figures |= {"samples": n, "mean": float(x.mean()), "standard deviation": float(x.std())}
    found.save(folder)
    return found
