"""Samples as files that other programs read: pictures, animations, tables, molecules; and the chain as an animation."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.errors import InputError, Unsupported
from absynth.files import write_atomic
from absynth.report import TaskResult
from absynth.seeding import Streams
from absynth.tasks.chain import path
from absynth.tasks.opened import Opened, check_positive, open_run
from absynth.tasks.rows import write_rows
from absynth.tasks.sample import Decoding, samples, sampling_conditions

TITLE = "Samples as files"
NEEDS = "any model"
REPORT = None

FRAMES = 40
"""Most frames of the animation of a chain."""


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A .csv file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_atomic(file, out.getvalue())


def write_samples(opened: Opened, x: Tensor, folder: Path) -> list[str]:
    """Write samples in the files of their kind of data.

    Args:
        opened: The run that they are from.
        x: Samples, ``[n, *event]``.
        folder: Where the files go.

    Returns:
        Names of the files.

    Raises:
        Unsupported: There are no files of this kind.
    """
    data: Any = opened.data
    kind, digits = data.kind, len(str(len(x) - 1))
    names = [f"{i:0{digits}d}" for i in range(len(x))]
    if kind in ("image", "pairs", "picture"):
        for name, each in zip(names, x):
            pictures.grid(each[None], folder / f"{name}.png", scale=1)
        return [f"{name}.png" for name in names]
    if kind == "video":
        for name, each in zip(names, x):
            pictures.animation(each[None], folder / f"{name}.gif")
        return [f"{name}.gif" for name in names]
    if kind in ("text", "smiles"):
        file = "samples.smi" if kind == "smiles" else "samples.txt"
        write_atomic(folder / file, "\n".join(data.vocabulary.texts(x)) + "\n")
        return [file]
    if kind == "table":
        write_rows(folder / "samples.csv", data.to_original(x), data.columns, None)
        return ["samples.csv"]
    if kind == "toy":
        rows = x.flatten(1)
        write_table(folder / "samples.csv", [f"x{i}" for i in range(rows.shape[1])], rows.tolist())
        return ["samples.csv"]
    if kind == "points":
        for name, each in zip(names, x):
            write_table(folder / f"{name}.csv", "xyz"[: each.shape[1]], each.tolist())
        return [f"{name}.csv" for name in names]
    if kind == "voxels":
        for name, each in zip(names, x):
            np.save(folder / f"{name}.npy", (each[0] > 0).numpy())
        return [f"{name}.npy" for name in names]
    raise Unsupported(f"export has no files for {kind} data: absynth predict writes futures of tracks")


def chain_frames(opened: Opened, n: int, c: Tensor | None, seed: int) -> Float[Tensor, "n channels t h w"]:
    """States of n chains from their start to their trained end, evenly spaced, as clips.

    Raises:
        Unsupported: The model has no chain.
    """
    chain = opened.model.chain(None if c is None else c.to(opened.device))
    steps = chain.rounds * chain.steps
    keep = sorted({round(float(k)) for k in torch.linspace(0, steps, min(FRAMES, steps + 1))})
    states, _, _ = path(chain, n, steps, keep, rng=Streams(seed, range(n), device=opened.device))
    return torch.stack([chain.generate(state).detach().cpu() for state in states], 2)


def command(
    run: Path,
    n: int = 16,
    label: int = -1,
    chain: bool = False,
    decoding: Decoding = "mode",
    temperature: float = 1.0,
    seed: int = 0,
    batch: int = 500,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Write samples as files: a PNG or a GIF each, rows as CSV, molecules as SMILES; with --chain, the chain as a GIF.

    Args:
        run: Run directory, or the name of a pretrained model.
        n: Number of samples.
        label: Class to sample, for a model that is conditioned on labels; -1 takes all in turn.
        chain: Write chain.gif instead: n chains from their start to their end, for images.
        decoding: For a model with a generator, mode (the mean of an image, greedy tokens) or draw (from p(x|z)).
        temperature: Temperature of drawn sequences.
        seed: Seed of the noise; sample i is sample i of absynth sample.
        batch: Chains that run at once (memory only; the samples stay the same).
        data: Data of the run, if they moved since training.
        out: Folder for the files. Defaults to RUN/export.
        device: auto, cpu, cuda.
    """
    check_positive(n=n)
    if not temperature > 0:
        raise InputError(f"expected a positive --temperature, got {temperature:g}")
    opened = open_run(run, device, task="export", data=data, out=out)
    c = sampling_conditions(opened, n, label)
    if chain:
        opened.require_kind("image", hint="leave --chain out")
        clips = chain_frames(opened, n, c, seed)
        pictures.animation(clips, opened.folder / "chain.gif", columns=max(1, round(n**0.5)))
        files, text = ["chain.gif"], f"{n} chains from their start to their end, {clips.shape[2]} frames."
    else:
        x = samples(
            opened.model, n, c, seed=seed, batch=batch, device=opened.device, decoding=decoding, temperature=temperature
        )
        files = write_samples(opened, x, opened.folder)
        text = f"{n} samples in {len(files)} files: {files[0]}" + (f" to {files[-1]}." if len(files) > 1 else ".")
    found = opened.result(TITLE, text, seed)
    found.figures |= {"samples": n, "files": len(files)}
    shown = [file for file in files if file.endswith((".png", ".gif"))][:1]
    found.pictures += [{"file": file, "caption": "The first sample" if not chain else text} for file in shown]
    return opened.save(found)
