"""Pretrained models that come with the package: their names, where they are, and loading one by name."""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, overload

import torch

from absynth import checkpoint
from absynth.errors import InputError
from absynth.files import file_digest, refused

if TYPE_CHECKING:
    from absynth.algorithms import Algorithm

COPIES = Path("runs/pretrained")
"""Where commands keep a copy of the model that they were given by name, with their results."""


def models_folder() -> Path:
    """Folder of the pretrained models: that of the installed package, else ``pretrained/`` of the checkout."""
    package = Path(__file__).parent
    installed = package / "pretrained_models"
    return installed if installed.is_dir() else package.parent.parent / "pretrained"


def names() -> list[str]:
    """Names of the pretrained models, METHOD/DATA."""
    root = models_folder()
    return sorted(path.parent.relative_to(root).as_posix() for path in root.glob("*/*/config.json"))


def find(name: str) -> Path:
    """The folder of a pretrained model.

    Raises:
        InputError: There is no such model; the message names the nearest.
    """
    known = names()
    if not isinstance(name, str):
        raise InputError(f"expected the name of a pretrained model, got {name!r}: absynth pretrained lists them")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InputError(f"expected a pretrained model, got {name[:80]!r}{hint}: absynth pretrained lists them")
    return models_folder() / name


@overload
def pretrained(name: None = None) -> list[str]: ...
@overload
def pretrained(name: str, *, device: str | torch.device = "cpu") -> Algorithm: ...
def pretrained(name: str | None = None, *, device: str | torch.device = "cpu") -> Algorithm | list[str]:
    """Load a pretrained model, or list the names of all.

    Args:
        name: METHOD/DATA, for example ``latent_prior/mnist``; None lists the names.
        device: Where to put the model.

    Returns:
        The algorithm in evaluation mode, with its recipe as ``.recipe``; without a name, the names.

    Raises:
        InputError: There is no such model.
    """
    return names() if name is None else checkpoint.load(find(name), device=device)


def locate(run: str | Path) -> Path:
    """The run directory that a command was given, by path or by the name of a pretrained model.

    A path that exists comes first. A pretrained model is copied to ``runs/pretrained/NAME``, once, so that results of
    tasks have a place.

    Raises:
        InputError: There is neither a path nor a model of that name, but a model of nearly that name.
    """
    path, name = Path(run).expanduser(), Path(run).as_posix()
    if path.exists() or name.count("/") != 1:
        return path
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if near:
            raise InputError(f"expected a run directory or a pretrained model, got {name} (nearest: {near[0]})")
        return path
    source, copy = find(name), COPIES / name
    try:
        if not _same(source, copy):
            shutil.copytree(source, copy, dirs_exist_ok=True)
    except OSError as error:
        raise refused(copy, error) from error
    return copy


def _same(source: Path, copy: Path) -> bool:
    """Whether a copy has the weights and the recipe of a model."""
    files = ("model.safetensors", "config.json")
    return all((copy / file).is_file() and file_digest(copy / file) == file_digest(source / file) for file in files)
