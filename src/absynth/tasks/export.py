"""Samples as files that other programs read: images, clips, tables, molecules, shapes, tracks; the chain as a clip."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.data.clip_set import RATE
from absynth.data.clips import write_film
from absynth.data.points import write_ply
from absynth.data.voxels import write_binvox
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
CHAINS = ("image", "pairs", "picture")
"""Kinds of data whose chain is written as an animation."""
SUFFIXES = (".png", ".gif", ".mp4", ".csv", ".txt", ".smi", ".ply", ".binvox")
"""How the names of the files end."""
_OWN = re.compile(r"\d+\.(png|gif|mp4|ply|binvox)|samples\.(csv|txt|smi)|chain\.gif")


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A .csv file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_atomic(file, out.getvalue())


def write_samples(opened: Opened, x: Tensor, folder: Path, *, film: bool = False) -> list[str]:
    """Write samples in the files of their kind of data.

    Args:
        opened: The run that they are from.
        x: Samples, ``[n, *event]``.
        folder: Where the files go.
        film: Whether clips are films (.mp4) in place of animations (.gif).

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
            pictures.single(each, folder / f"{name}.png")
        return [f"{name}.png" for name in names]
    if kind == "video":
        for name, each in zip(names, x):
            if film:
                write_film(each, folder / f"{name}.mp4", data.details()["rate"] or RATE)
            else:
                pictures.animation(each[None], folder / f"{name}.gif")
        return [f"{name}.{'mp4' if film else 'gif'}" for name in names]
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
            write_ply(each.numpy(), folder / f"{name}.ply")
        return [f"{name}.ply" for name in names]
    if kind == "voxels":
        for name, each in zip(names, x):
            write_binvox((each[0] > 0).numpy(), folder / f"{name}.binvox")
        return [f"{name}.binvox" for name in names]
    if kind == "tracks":
        write_table(folder / "samples.csv", ("frame", "agent", "x", "y"), _positions(opened, x))
        return ["samples.csv"]
    raise Unsupported(f"export has no files for {kind} data: absynth sample writes samples.npz")


def _positions(opened: Opened, x: Tensor) -> Iterable[tuple[int, int, str, str]]:
    """Frame, agent, x and y: agent i is the past of test window i, from frame 0 on, and then its sampled future."""
    test: Any = opened.examples("test")
    windows = test.windows[torch.arange(len(x)) % len(test)]
    own = x[:, 0] if x.ndim == 4 else x  # of several agents, the one whose window it is
    paths = torch.cat([windows.past, opened.data.frames(windows).positions(own)], 1)  # type: ignore[attr-defined]
    for agent, line in enumerate(paths.tolist()):
        yield from ((frame, agent, f"{a:.7g}", f"{b:.7g}") for frame, (a, b) in enumerate(line))


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
    film: bool = False,
    decoding: Decoding = "mode",
    temperature: float = 1.0,
    seed: int = 0,
    batch: int = 500,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Write samples as .png, .gif, .csv, .txt, .smi, .ply or .binvox files, by their kind; or the chain as a GIF.

    Images are .png files, clips .gif or .mp4, shapes .binvox, point clouds .ply, one file each. Rows of a table are a
    .csv file with its columns and words, text is a .txt and molecules are a .smi file of a sample a line. Tracks are a
    .csv file of frame, agent, x and y: agent i is the past of test window i and a future of it.

    Args:
        run: Run directory, or the name of a pretrained model.
        n: Number of samples.
        label: Class to sample, for a model that is conditioned on labels; -1 takes all in turn.
        chain: Write chain.gif instead: n chains from their start to their end, for images.
        film: Write clips as films (.mp4, needs PyAV) in place of animations (.gif).
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
    if out is not None and out.suffix.lower() in SUFFIXES and not out.is_dir():
        raise InputError(f"expected --out to be a folder, got {out}: its files get names of their own")
    opened = open_run(run, device, task="export", data=data, out=out)
    c = sampling_conditions(opened, n, label)
    if film:
        opened.require_kind("video", hint="leave --film out")
    if chain:
        opened.require_kind(*CHAINS, hint="leave --chain out")
    _remove_earlier(opened.folder)
    if chain:
        clips = chain_frames(opened, n, c, seed)
        pictures.animation(clips, opened.folder / "chain.gif", columns=max(1, round(n**0.5)))
        files, text = ["chain.gif"], f"{n} chains from their start to their end, {clips.shape[2]} frames"
    else:
        x = samples(
            opened.model, n, c, seed=seed, batch=batch, device=opened.device, decoding=decoding, temperature=temperature
        )
        files = write_samples(opened, x, opened.folder, film=film)
        several = f"{len(files)} files, {files[0]} to {files[-1]}"
        text = f"{n} samples in {several if len(files) > 1 else files[0]}"
    found = opened.result(TITLE, text, seed)
    if chain:
        found.pictures.append({"file": "chain.gif", "caption": text})
    return opened.save(found)


def _remove_earlier(folder: Path) -> None:
    """Remove the files of an earlier export: fewer samples would lie among more of them."""
    if (folder / "result.json").exists():
        for path in folder.iterdir():
            if _OWN.fullmatch(path.name):
                path.unlink()
