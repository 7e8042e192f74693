"""A run that is opened for a task: its model, its recipe, its pictures, and where the answer goes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from absynth import checkpoint
from absynth.algorithms import Algorithm, LatentPrior
from absynth.data import folder
from absynth.data.images import Images, Split
from absynth.devices import choose_device
from absynth.errors import InputError
from absynth.recipes.latent_prior_images import LatentPriorImages
from absynth.recipes.recipe import Recipe
from absynth.report import TaskResult


@dataclass(frozen=True)
class Opened:
    """A trained run."""

    path: Path
    model: Algorithm
    recipe: Recipe
    device: torch.device

    def latent(self) -> LatentPrior:
        """The model, where it has a latent variable to infer."""
        if not isinstance(self.model, LatentPrior):
            raise InputError(f"this task needs a model with a latent variable, {self.path} is {self.recipe.name()}")
        return self.model

    def images(self, split: Split) -> Images:
        """The pictures that the recipe trained on (train) or never saw (test)."""
        if not isinstance(self.recipe, LatentPriorImages):
            raise InputError(f"this task needs pictures, {self.path} is {self.recipe.name()}: train an image recipe")
        return self.recipe.images(split)

    def pictures(self, images: str) -> Images:
        """A user's own pictures at ``images``, of the run's size; else the recipe's test split."""
        if not images:
            return self.images("test")
        mine = self.images("test")
        theirs = folder.images(Path(images), "all", size=mine.x.shape[-1])
        if theirs.x.shape[1:] != mine.x.shape[1:]:
            want, got = tuple(mine.x.shape[1:]), tuple(theirs.x.shape[1:])
            raise InputError(f"pictures must be {want} (channels, height, width) as in training, got {got}")
        return replace(theirs, low=mine.low, high=mine.high)  # the trained model's scale, not the new file's range

    def folder(self, task: str) -> Path:
        """Where a task's pictures and numbers go; made if need be."""
        path = self.path / task
        path.mkdir(exist_ok=True)
        return path


def open_run(run: str | Path, device: str = "auto") -> Opened:
    """Load a run for a task.

    Args:
        run: its directory.
        device: ``auto``, ``cpu``, ``cuda`` ...
    """
    where = choose_device(device)
    model = checkpoint.load(run, device=where)
    recipe = model.recipe
    assert isinstance(recipe, Recipe)
    return Opened(Path(run), model, recipe, where)


def result(task: str, title: str, seed: int, text: str) -> TaskResult:
    """A result that remembers the command that was typed."""
    words = ["absynth", *sys.argv[1:]] if Path(sys.argv[0]).name.startswith("absynth") else ["absynth", task, "RUN"]
    return TaskResult(task=task, title=title, command=shlex.join(words), seed=seed, text=text)


def in_chunks(x: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    """``(offset, rows)`` of at most ``size`` rows."""
    for start in range(0, len(x), size):
        yield start, x[start : start + size]
