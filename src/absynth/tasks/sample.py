"""Samples from a trained model. Sample i is the same however many are drawn at once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from absynth.algorithms import Algorithm, LatentPrior
from absynth.errors import InputError
from absynth.recipes.recipe import Recipe
from absynth.report import TaskResult
from absynth.seeding import Streams
from absynth.tasks.opened import Opened, lengthened, open_run, result
from absynth.types import Rng

Decoding = Literal["mode", "draw"]
"""What of p(x|z) is a sample: its mode (an image's mean, a sentence's greedy words) or a draw from it."""


def samples(
    model: Algorithm,
    n: int,
    c: Tensor | None = None,
    *,
    seed: int,
    batch: int = 500,
    device: torch.device | str = "cpu",
    decoding: Decoding = "mode",
) -> Tensor:
    """n examples ``[n, *event]``; example i follows from (seed, i) and its condition alone, to rounding.

    Args:
        model: a trained algorithm.
        n: how many.
        c: a condition for each, ``[n, ...]``; None where the model takes none.
        seed: of the noise.
        batch: chains that run at once: memory, not content.
        device: where the model is.
        decoding: for a model with a generator, whether x is the mode of p(x|z) or a draw.
    """
    if n < 1 or batch < 1:
        raise InputError(f"expected at least 1 sample and 1 chain at once, got n={n} and batch={batch}")
    parts = []
    for start in range(0, n, batch):
        rows = range(start, min(start + batch, n))
        given = None if c is None else c[start : rows.stop].to(device)
        rng = Streams(seed, rows, device=device)
        draw = drawn if decoding == "draw" else type(model).sample
        parts.append(draw(model, len(rows), given, rng=rng).cpu())
    return torch.cat(parts)


def drawn(model: Algorithm, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
    """n draws ``[n, *event]`` of p(x): z from the prior, x from p(x|z), where ``sample`` takes its mode."""
    if not isinstance(model, LatentPrior):
        raise InputError(f"--decoding draw needs a model with a generator, got {type(model).__name__}: leave it out")
    return model.likelihood(model.sample_prior(n, c, rng=rng), c).sample(rng).detach()


def asked(recipe: Recipe, n: int, label: int) -> Tensor | None:
    """The conditions to sample under: this label for all, or (-1) what the recipe proposes.

    Raises:
        InputError: a label is given and the model is not conditioned on labels, or not on this one.
    """
    if n < 1:
        raise InputError(f"expected at least 1 sample, got n={n}")
    if label < 0:
        return recipe.conditions(n)
    known = recipe.conditions(1000)
    if known is None or known.ndim != 1 or known.is_floating_point():
        raise InputError(f"--label needs a model that is conditioned on labels, {recipe.name()} is not: leave it out")
    if label not in known:
        raise InputError(f"expected one of the labels {sorted(set(known.tolist()))[:20]}, got --label {label}")
    return torch.full((n,), label)


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
    run: Path,
    n: int = 100,
    label: int = -1,
    seed: int = 0,
    steps: int = 0,
    batch: int = 500,
    columns: int = 10,
    decoding: Decoding = "mode",
    device: str = "auto",
) -> TaskResult:
    """Draw samples: a picture (or a table and a file of sentences), and all numbers in samples.npz.

    Args:
        run: directory of a trained run.
        n: how many samples.
        label: the label to sample under, for a model that is conditioned on labels; -1: all in turn.
        seed: of the noise; the same seed gives the same samples.
        steps: length of the chain that draws; 0 is as in training.
        batch: chains that run at once (memory only; the samples stay the same).
        columns: samples in a row of the picture.
        decoding: of a model with a generator, mode (an image's mean, greedy words) or draw (from p(x|z)).
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    if steps:
        with_steps(opened, steps)
    c = asked(opened.recipe, n, label)
    x = samples(opened.model, n, c, seed=seed, batch=batch, device=opened.device, decoding=decoding)
    folder = opened.folder("sample")
    np.savez_compressed(folder / "samples.npz", x=x.numpy())
    text = f"{n} samples, drawn one stream of noise each." + (f" Chains of {steps} steps." if steps else "")
    text += " Each x is drawn from p(x|z)." if decoding == "draw" else ""
    text += f" All under label {label}." if label >= 0 else ""
    found = result("sample", "Samples", seed, text)
    found.add(opened.recipe.show(x, folder / "samples.png", columns=columns))
    found.figures["samples"] = n
    if x.is_floating_point():
        found.figures |= {"mean": float(x.mean()), "standard deviation": float(x.std())}
    found.save(folder)
    return found
