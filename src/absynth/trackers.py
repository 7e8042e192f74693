"""Learning curves for TensorBoard, Weights & Biases or trackio, beside metrics.jsonl: ``absynth train --track NAME``.

A tracker is a :class:`absynth.logs.Callback`; its package is imported when it is made. :func:`open_trackers` makes the
ones that a user names.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absynth.errors import InputError

if TYPE_CHECKING:
    from absynth.recipes.recipe import Recipe

PROJECT = "absynth"
"""Project that runs are filed under, unless the tracker's own settings name another."""
_GROUPS = ("loss", "energy", "gradient", "stability", "held-out")


def scalars(row: dict) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl, by GROUP/NAME.

    >>> scalars({"step": 3, "loss": {"ebm": 0.5}, "seconds": 1.0})
    {'loss/ebm': 0.5}
    """
    return {f"{group}/{name}": value for group in _GROUPS for name, value in row.get(group, {}).items()}


def _package(name: str, tracker: str, extra: str) -> Any:
    """The module of a tracker.

    Raises:
        InputError: Its package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"--track {tracker} needs its package, found none: pip install '{extra}'") from None


class TensorBoard:
    """Scalars for TensorBoard in ``RUN/tensorboard``: ``tensorboard --logdir RUN``.

    Args:
        run: Run directory.

    Raises:
        InputError: The package is not installed (``pip install 'absynth[tensorboard]'``).
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.package = _package("torch.utils.tensorboard", "tensorboard", "absynth[tensorboard]")

    def begin(self, recipe: Recipe, step: int) -> None:
        self.writer = self.package.SummaryWriter(str(self.run / "tensorboard"), purge_step=step + 1 if step else None)
        self.writer.add_text("recipe", json.dumps(recipe.fields(), indent=2))

    def log(self, row: dict) -> None:
        for name, value in scalars(row).items():
            self.writer.add_scalar(name, value, row["step"])

    def say(self, text: str) -> None:
        """TensorBoard shows no messages; the journal keeps them."""

    def end(self) -> None:
        self.writer.close()


class Wandb:
    """A run of Weights & Biases; its own environment variables choose the project, the entity and the mode.

    Args:
        run: Run directory; its name is that of the run, and a resumed run goes on under the same identity.

    Raises:
        InputError: The package is not installed (``pip install wandb``).
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.package = _package("wandb", "wandb", "wandb")

    def begin(self, recipe: Recipe, step: int) -> None:
        place = self.run / "wandb"
        place.mkdir(exist_ok=True)
        known = place / "id.txt"
        if not (step and known.exists()):
            known.write_text(secrets.token_hex(8))
        self.active = self.package.init(
            **_project("WANDB_PROJECT"), name=self.run.resolve().name, dir=str(self.run), id=known.read_text(),
            resume="allow", config={"recipe": recipe.name(), **recipe.fields()},
        )  # fmt: skip

    def log(self, row: dict) -> None:
        self.active.log(scalars(row), step=row["step"])

    def say(self, text: str) -> None:
        if text.startswith("guard"):
            self.active.alert(title="absynth", text=text)

    def end(self) -> None:
        self.active.finish()


class Trackio:
    """A run of trackio, kept on this machine: ``trackio show --project absynth``.

    Args:
        run: Run directory; its name is that of the run.

    Raises:
        InputError: The package is not installed (``pip install trackio``).
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.package = _package("trackio", "trackio", "trackio")

    def begin(self, recipe: Recipe, step: int) -> None:
        config = {"recipe": recipe.name(), **recipe.fields()}
        resume = "allow" if step else "never"
        self.package.init(project=PROJECT, name=self.run.resolve().name, config=config, resume=resume)

    def log(self, row: dict) -> None:
        self.package.log(scalars(row), step=row["step"])

    def say(self, text: str) -> None:
        """The journal keeps messages."""

    def end(self) -> None:
        self.package.finish()


def _project(variable: str) -> dict[str, str]:
    """Our project, unless an environment variable names one."""
    return {} if os.environ.get(variable) else {"project": PROJECT}


TRACKERS: dict[str, type[TensorBoard | Wandb | Trackio]] = {
    "tensorboard": TensorBoard, "wandb": Wandb, "trackio": Trackio
}  # fmt: skip
"""Trackers by the name that ``--track`` takes."""


def open_trackers(names: str, run: Path) -> list[TensorBoard | Wandb | Trackio]:
    """The trackers that a user named.

    Args:
        names: Names of :data:`TRACKERS`, separated by commas; "" names none.
        run: Run directory.

    Raises:
        InputError: There is no such tracker, or its package is not installed.
    """
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen or filter(None, [names]):
        if name not in TRACKERS:
            raise InputError(f"expected --track {', '.join(TRACKERS)}, got {name!r}: separate several by commas")
    return [TRACKERS[name](run) for name in dict.fromkeys(chosen)]
