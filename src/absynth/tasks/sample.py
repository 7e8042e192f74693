"""Samples from a trained model. Sample i is the same however many are drawn at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from absynth import distributed
from absynth.algorithms import Algorithm
from absynth.data.clip_set import RATE
from absynth.data.clips import write_film
from absynth.errors import InputError, Unsupported
from absynth.report import TaskResult
from absynth.seeding import Streams
from absynth.tasks.opened import Opened, check_positive, open_run
from absynth.tasks.rows import folder_and_file, write_rows

TITLE = "Samples"
NEEDS = "any model"
REPORT = {"n": 100}

Decoding = Literal["mode", "draw"]
"""What of p(x|z) is a sample: its mode (the mean of an image, the greedy tokens of a sentence) or a draw from it."""


def samples(
    model: Algorithm,
    n: int,
    c: Tensor | None = None,
    *,
    seed: int,
    batch: int = 500,
    device: torch.device | str = "cpu",
    decoding: Decoding = "mode",
    temperature: float = 1.0,
) -> Tensor:
    """n examples ``[n, *event]``; example i follows from (seed, i) and its condition alone, to rounding.

    Several processes under ``torchrun`` share the work, and each returns all examples.

    Args:
        model: A trained algorithm.
        n: Number of examples.
        c: A condition for each, ``[n, ...]``; None where the model takes none.
        seed: Seed of the noise.
        batch: Chains that run at once: memory, not content.
        device: Where the model is.
        decoding: For a model with a generator, whether x is the mode of p(x|z) or a draw.
        temperature: Of drawn sequences.
    """
    check_positive(n=n, batch=batch)
    if not temperature > 0:
        raise InputError(f"expected a positive --temperature, got {temperature:g}")
    if temperature != 1 and decoding != "draw":
        raise InputError(f"--temperature {temperature:g} is for drawn sequences: add --decoding draw, or leave it out")
    size = min(batch, -(-n // distributed.world()))
    chunks = [range(start, min(start + size, n)) for start in range(0, n, size)]
    drawn = {}
    for rows in chunks[distributed.rank() :: distributed.world()]:
        given = None if c is None else c[rows.start : rows.stop].to(device)
        rng = Streams(seed, rows, device=device)
        if decoding == "draw":
            try:
                z = model.sample_prior(len(rows), given, rng=rng)
            except Unsupported as error:
                raise Unsupported(f"--decoding draw is for models with a generator ({error}): leave it out") from error
            drawn[rows] = model.draw(z, given, temperature=temperature, rng=rng).cpu()
        else:
            drawn[rows] = model.sample(len(rows), given, rng=rng).cpu()
    everything = {rows: x for part in distributed.gather(drawn) for rows, x in part.items()}
    return torch.cat([everything[rows] for rows in chunks])


def sampling_conditions(opened: Opened, n: int, label: int) -> Tensor | None:
    """The conditions to sample under: this label for all, or (-1) the defaults of the recipe.

    Raises:
        Unsupported: A label is given and the model is not conditioned on labels.
        InputError: The model was not trained with this label.
    """
    check_positive(n=n)
    if label < -1:
        raise InputError(f"expected --label -1, which takes all in turn, or a class, got {label}")
    if label < 0:
        return opened.conditions(n)
    known = opened.conditions(1000)
    if known is None or known.ndim != 1 or known.is_floating_point():
        raise Unsupported(f"--label needs a model that is conditioned on labels, {opened.name} is not: leave it out")
    if label not in known:
        raise InputError(f"expected one of the labels {sorted(set(known.tolist()))[:20]}, got --label {label}")
    return torch.full((n,), label)


def command(
    run: Path,
    n: int = 100,
    label: int = -1,
    steps: int = 0,
    height: int = 0,
    width: int = 0,
    frames: int = 0,
    film: bool = False,
    decoding: Decoding = "mode",
    temperature: float = 1.0,
    columns: int = 10,
    seed: int = 0,
    batch: int = 500,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Draw samples: an image (or a table and a file of lines), all numbers in samples.npz, rows of a table in rows.csv.

    Args:
        run: Run directory.
        n: Number of samples.
        label: Class to sample, for a model that is conditioned on labels; -1 takes all in turn.
        steps: Length of the chain that draws; 0 is as in training.
        height: Height in pixels of the samples of a single-image model; 0 is as in training.
        width: Their width; 0 is as in training, or the height if that is given.
        frames: Frames of the clips of a model of video; 0 is as in training.
        film: Whether to write clips as films too, 0.mp4, 1.mp4 ... (needs PyAV).
        decoding: For a model with a generator, mode (the mean of an image, greedy tokens) or draw (from p(x|z)).
        temperature: Temperature of drawn sequences.
        columns: Samples per row of the image.
        seed: Seed of the noise; the same seed gives the same samples.
        batch: Chains that run at once (memory only; the samples stay the same).
        data: Data of the run, if they moved since training.
        out: Folder for the result, or a .csv file for rows of a table. Defaults to RUN/sample.
        device: auto, cpu, cuda.
    """
    folder, file = folder_and_file(out)
    opened = open_run(run, device, task="sample", data=data, out=folder)
    if file is not None:
        opened.require_kind("table", hint="give --out a folder")
    if steps:
        opened.model.set_chain_steps(steps)
    check_positive(columns=columns)  # of every kind of data: some draw no rows
    if height or width:
        opened.model.set_size(height or opened.data.shape[1], width)
    if frames or film:
        opened.require_kind("video", hint="leave --frames and --film out")
    if frames:
        opened.model.set_frames(frames)
    c = sampling_conditions(opened, n, label)
    x = samples(
        opened.model, n, c, seed=seed, batch=batch, device=opened.device, decoding=decoding, temperature=temperature
    )
    np.savez_compressed(opened.folder / "samples.npz", x=x.numpy())
    text = f"{n} samples, one stream of noise each." + (f" Chains of {steps} steps." if steps else "")
    text += " Each x is drawn from p(x|z)." if decoding == "draw" else ""
    text += f" All of class {label}." if label >= 0 else ""
    found = opened.result("Samples", text, seed)
    found.add(opened.data.show(x, opened.folder / "samples.png", columns=columns))
    found.figures["samples"] = n
    if film:
        for i, clip in enumerate(x):
            write_film(clip, opened.folder / f"{i}.mp4", opened.data.details()["rate"] or RATE)
    if opened.data.kind == "table":
        rows: Any = opened.data
        write_rows(opened.folder / "rows.csv", rows.to_original(x), rows.columns, file)
    if x.is_floating_point():
        found.figures |= {"mean": float(x.mean()), "standard deviation": float(x.std())}
    return opened.save(found)
