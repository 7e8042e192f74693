"""Prediction of tracks: where agents may go next, given where they were."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.data import tracks as track_files
from absynth.data.tracks import Windows
from absynth.errors import Unsupported
from absynth.files import write_atomic
from absynth.metrics.displacement import RULE, best_of, constant_velocity, stochastic_constant_velocity
from absynth.report import TaskResult
from absynth.scenes import draw
from absynth.seeding import stream
from absynth.tasks.opened import Opened, check_positive, open_run, row_streams

TITLE = "Prediction of tracks"
NEEDS = "a model of tracks"
REPORT: dict | None = {"limit": 500}


def predict(
    model: Algorithm, data: Any, windows: Windows, k: int = 20, *, seed: int, device: torch.device | str = "cpu"
) -> Float64[Tensor, "k n steps 2"]:
    """k predictions of every window's future, in the tracks' own coordinates; each follows from (seed, row, number).

    Args:
        model: A model of tracks.
        data: The data set it was trained on, which knows the frames of coordinates.
        windows: Pasts; their futures are not used.
        k: Number of predictions of each.
        seed: Seed of the noise.
        device: Where the model is.
    """
    check_positive(k=k)
    frames = data.frames(windows)
    c = data.conditions(windows).to(device)
    drawn = [
        model.sample(len(c), c, rng=row_streams(seed, range(len(c)), number, device=device)).cpu()
        for number in range(k)
    ]
    own = [x[:, 0] if x.ndim == 4 else x for x in drawn]  # of several agents, the one whose window it is
    return torch.stack([frames.positions(x) for x in own])


def command(
    run: Path,
    input: str = "",
    k: int = 20,
    every: int = 0,
    limit: int = 2000,
    seed: int = 0,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Predict where agents go: predictions.csv, an image over the scene, and the errors where the future is known.

    Args:
        run: Run directory.
        input: Your own tracks, a file or a folder (frame, agent, x, y). Defaults to the test split.
        k: Number of predictions of each future.
        every: Positions between an agent's predictions, counted back from its last; 0 is as many as are predicted.
        limit: Predict at most so many futures, evenly spread over the recordings; 0 predicts all.
        seed: Seed of the noise; the same seed gives the same predictions.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/predict.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device, task="predict", data=data, out=out)
    opened.require_kind("tracks")
    windows = windows_to_predict(opened, input, every, limit)
    paths = predict(opened.model, opened.data, windows, k, seed=seed, device=opened.device)
    write_atomic(opened.folder / "predictions.csv", _csv(windows, paths))
    draw(opened.folder / "predictions.png", windows, paths)
    controls = _controls(opened, windows, paths)
    known = windows.future.isfinite().all(2).all(1)
    future = windows.future.shape[1]
    text = f"{k} predictions of {len(windows)} futures, {future} positions each, in predictions.csv."
    if known.any():
        text += f" Of {int(known.sum())} the future is known. Displacements, in the tracks' unit: {RULE}."
    found = opened.result("Prediction", text, seed)
    if controls:
        write_atomic(opened.folder / "controls.csv", controls)
        found.text += " The controls that made them are in controls.csv."
    found.pictures.append({"file": "predictions.png", "caption": "The busiest moments: pasts, predictions, truth"})
    found.figures["predicted futures"] = len(windows)
    if known.any():
        _measure(found, windows[known], paths[:, known], seed)
    return opened.save(found)


def windows_to_predict(opened: Opened, given: str, every: int, limit: int) -> Windows:
    """Pasts to predict from; their futures are NaN where they are not known."""
    data: Any = opened.data
    if given:
        recordings = track_files.read_all(given)
    else:
        test: Any = opened.examples("test")
        recordings = test.recordings
    windows = track_files.cut(
        recordings, data.past, data.future, every=every or data.future, whole=False, neighbours=data.neighbours
    )
    if limit and len(windows) > limit:
        windows = windows[torch.linspace(0, len(windows) - 1, limit).round().long()]
    return windows


def _measure(found: TaskResult, windows: Windows, paths: Tensor, seed: int) -> None:
    """Displacements, and those of constant velocity, once and at random, under the same rule."""
    past, truth = windows.past, windows.future
    straight = constant_velocity(past, truth.shape[1])[None]
    spread = stochastic_constant_velocity(past, truth.shape[1], len(paths), rng=stream(seed))
    methods = {"constant velocity": straight, f"stochastic constant velocity, best of {len(paths)}": spread}
    ours, others = best_of(paths, truth), {name: best_of(p, truth) for name, p in methods.items()}
    name = f"ADE, best of {len(paths)}"
    found.figures[name] = float(ours.average.mean())
    found.baselines[name] = {method: float(each.average.mean()) for method, each in others.items()}
    name = f"FDE, best of {len(paths)}"
    found.figures[name] = float(ours.final.mean())
    found.baselines[name] = {method: float(each.final.mean()) for method, each in others.items()}


def _controls(opened: Opened, windows: Windows, paths: Tensor) -> str:
    """A line per control of a prediction; empty for a model without dynamics."""
    data: Any = opened.data
    frames, c = data.frames(windows), data.conditions(windows).to(opened.device)
    c = c[:, 0] if c.ndim == 3 else c
    try:
        u = [opened.model.controls(frames.departure(path).to(opened.device), c) for path in paths]
    except Unsupported:
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recording", "agent", "frame", "prediction", "step", *opened.model.control_names()])
    keys = list(zip(windows.recording.tolist(), windows.agent.tolist(), windows.frame.tolist()))
    for number, rows in enumerate(u):
        for key, row in zip(keys, rows.tolist()):
            writer.writerows([*key, number, step, *(f"{v:.5g}" for v in values)] for step, values in enumerate(row, 1))
    return text.getvalue()


def _csv(windows: Windows, paths: Tensor) -> str:
    """A line per predicted position: recording, agent, frame of the last observed position, prediction, step, x, y."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recording", "agent", "frame", "prediction", "step", "x", "y"])
    keys = zip(windows.recording.tolist(), windows.agent.tolist(), windows.frame.tolist())
    for i, key in enumerate(keys):
        for number, path in enumerate(paths[:, i].tolist()):
            writer.writerows([*key, number, step, f"{x:.4f}", f"{y:.4f}"] for step, (x, y) in enumerate(path, 1))
    return text.getvalue()
