"""Prediction of tracks: where agents may go next, given where they were."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import torch
from jaxtyping import Float64
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.data import tracks
from absynth.data.tracks import Windows
from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.metrics.displacement import RULE, best_of, constant_velocity, stochastic_constant_velocity
from absynth.recipes._tracks import TrackRecipe
from absynth.report import TaskResult
from absynth.scenes import draw
from absynth.seeding import stream
from absynth.tasks.opened import open_run, result, row_streams


def predict(
    model: Algorithm,
    recipe: TrackRecipe,
    windows: Windows,
    k: int = 20,
    *,
    seed: int,
    device: torch.device | str = "cpu",
) -> Float64[Tensor, "k n steps 2"]:
    """k predictions of every window's future, in the tracks' own coordinates; each follows from (seed, row, number).

    Args:
        model: trained by ``recipe``.
        recipe: what knows the frames of coordinates.
        windows: pasts; their futures are not looked at.
        k: predictions of each.
        seed: of the noise.
        device: where the model is.
    """
    if k < 1:
        raise InputError(f"expected at least 1 prediction, got {k}")
    frames = recipe.frames(windows)
    c = frames.condition(windows.past).to(device)
    drawn = [
        model.sample(len(c), c, rng=row_streams(seed, range(len(c)), number, device=device)).cpu()
        for number in range(k)
    ]
    return torch.stack([frames.positions(x) for x in drawn])


def command(
    run: Path,
    tracks: str = "",
    k: int = 20,
    every: int = 0,
    limit: int = 2000,
    seed: int = 0,
    device: str = "auto",
) -> TaskResult:
    """Predict where agents go: predictions.csv, a picture over the scene, and how far off where the future is known.

    Args:
        run: directory of a run that was trained on tracks.
        tracks: your own tracks, a file or a folder of them (frame, agent, x, y); empty: the recipe's test tracks.
        k: predictions of each future.
        every: positions between an agent's predictions, counted back from its last; 0: as many as are predicted.
        limit: predict at most so many futures, evenly spread over the recordings; 0: all.
        seed: of the noise; the same seed gives the same predictions.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    recipe = opened.recipe
    if not isinstance(recipe, TrackRecipe):
        raise InputError(f"this task needs a model of tracks, {run} is {recipe.name()}: train latent_belief_tracks")
    windows = _windows(recipe, tracks, every, limit)
    paths = predict(opened.model, recipe, windows, k, seed=seed, device=opened.device)
    folder = opened.folder("predict")
    write_atomic(folder / "predictions.csv", _csv(windows, paths))
    draw(folder / "predictions.png", windows, paths)
    known = windows.future.isfinite().all(2).all(1)
    text = f"{k} predictions of {len(windows)} futures, {recipe.future} positions each, in predictions.csv."
    if known.any():
        text += f" Of {int(known.sum())} the future is known. Displacements, in the tracks' unit: {RULE}."
    found = result("predict", "Prediction", seed, text)
    found.pictures.append({"file": "predictions.png", "caption": "The busiest moments: pasts, predictions, truth"})
    found.figures["predicted futures"] = len(windows)
    if known.any():
        _measure(found, windows[known], paths[:, known], seed)
    found.save(folder)
    return found


def _windows(recipe: TrackRecipe, given: str, every: int, limit: int) -> Windows:
    """Pasts to predict from; their futures are NaN where they are not known."""
    recordings = tracks.read_all(given) if given else recipe.tracks("test")
    windows = tracks.cut(recordings, recipe.past, recipe.future, every=every or recipe.future, whole=False)
    if limit and len(windows) > limit:
        windows = windows[torch.linspace(0, len(windows) - 1, limit).round().long()]
    return windows


def _measure(found: TaskResult, windows: Windows, paths: Tensor, seed: int) -> None:
    """Displacements beside those of constant velocity, once and at random, under the same rule."""
    past, truth = windows.past, windows.future
    straight = constant_velocity(past, truth.shape[1])[None]
    spread = stochastic_constant_velocity(past, truth.shape[1], len(paths), rng=stream(seed))
    methods = {"constant velocity": straight, f"stochastic constant velocity, best of {len(paths)}": spread}
    ours = best_of(paths, truth)
    for figure, value, which in (("ADE", ours.average, "average"), ("FDE", ours.final, "final")):
        name = f"{figure}, best of {len(paths)}"
        found.figures[name] = float(value.mean())
        found.baselines[name] = {m: float(getattr(best_of(p, truth), which).mean()) for m, p in methods.items()}


def _csv(windows: Windows, paths: Tensor) -> str:
    """One line a predicted position: recording, agent, frame of the last observed position, prediction, step, x, y."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recording", "agent", "frame", "prediction", "step", "x", "y"])
    keys = zip(windows.recording.tolist(), windows.agent.tolist(), windows.frame.tolist())
    for i, key in enumerate(keys):
        for number, path in enumerate(paths[:, i].tolist()):
            writer.writerows([*key, number, step, f"{x:.4f}", f"{y:.4f}"] for step, (x, y) in enumerate(path, 1))
    return text.getvalue()
