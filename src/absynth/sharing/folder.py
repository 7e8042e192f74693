"""Saving a trained model as a folder that anybody can load, and loading one.

    config.json  model.safetensors     recipe, data and weights with their digest, as in a run directory
    recipe.json  metrics.jsonl  journal.jsonl     what the report of a run reads
    TASK/result.json  TASK/*.png       figures and pictures of the tasks that were run on these weights
    README.md                          the model card

Nothing in it is unpickled, and nothing of it is executed.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import torch

from absynth import __version__, checkpoint
from absynth.errors import InputError
from absynth.files import read_json, refused, write_atomic, write_json
from absynth.report import logs
from absynth.report.gather import is_current
from absynth.report.result import TaskResult
from absynth.sharing import card, hub

if TYPE_CHECKING:
    from absynth.algorithms import Algorithm

LINES = 200
"""Most lines of metrics.jsonl that a saved model keeps, evenly spaced."""


def save_pretrained(
    model: Algorithm,
    folder: str | Path,
    *,
    license: str = "",
    name: str = "",
    limits: Sequence[str] = (),
    half: bool = False,
) -> Path:
    """Save a trained model with its recipe, figures, learning curves and a model card.

    Figures, pictures and curves are those of the run directory that the model was loaded from; they are left out if the
    model's weights have changed since. Absolute paths of this machine are cut to their last part.

    Args:
        model: A model that :func:`absynth.load`, :func:`absynth.fit` or :func:`absynth.from_pretrained` returned.
        folder: Folder to write. Created if missing; a saved model that is there is replaced.
        license: License of the weights, an SPDX identifier such as ``CC-BY-4.0``. Empty: the card says that none was
            given.
        name: What commands on the card call the model. Defaults to the name of the folder.
        limits: Sentences for the card's section on limits, beside those that follow from the recipe.
        half: Store parameters in float16, at half the size; they are float32 again once loaded. Figures of the run are
            left out, because they belong to the unrounded weights: run the tasks on the saved folder.

    Returns:
        The folder.

    Raises:
        InputError: The model has no recipe, or the folder holds other files or cannot be written.
    """
    _check_texts(license, name, limits)
    if not isinstance(folder, str | Path):
        raise InputError(f"expected a folder to save to, got {folder!r}: give its path")
    folder, run = Path(folder).expanduser(), getattr(model, "run", None)
    known = getattr(model, "config", None)
    if known is None or run is None:
        raise InputError("expected a model with a recipe, got one without: save what ab.fit or ab.load returned")
    _check_place(folder)
    state = {key: value.detach().cpu() for key, value in model.state_dict().items()}
    same = not half and checkpoint.stored_digest(run) == checkpoint.tensor_digest(state)
    config = _portable(known)
    config |= {"format": checkpoint.FORMAT, "absynth": __version__, "license": license, "limits": list(limits)}
    config["name"] = name = name or folder.resolve().name
    if half:
        state = _halved(model, state)
    measured = logs.read(run).results if same else []
    saved = "format" in known  # its results came with it, whatever their dates are
    results = [(path, result) for path, result in measured if saved or is_current(run, path.name)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.resolve() != run.resolve():
            _drop_results(folder)
            _copy_logs(run, folder)
        elif not same:
            _drop_results(folder)
        checkpoint.export(folder, checkpoint.Weights(state, config))
        write_json(folder / "recipe.json", {key: config[key] for key in ("recipe", "fields", "data")})
        if folder.resolve() != run.resolve():
            for path, result in results:
                _copy_result(path, result, folder, name)
        card.write(folder)
    except OSError as error:
        raise refused(folder, error) from error
    return folder


def from_pretrained(source: str | Path, *, revision: str = "", device: str | torch.device = "cpu") -> Algorithm:
    """Load a model from a folder that :func:`save_pretrained` wrote, or from the Hugging Face hub.

    Args:
        source: A folder, or ``owner/name`` of a model on the hub (needs ``pip install 'absynth[hub]'``). A folder of
            that name comes first.
        revision: Branch, tag or commit on the hub. Defaults to its main branch.
        device: Where to put the model.

    Returns:
        The algorithm in evaluation mode, with the recipe as ``.recipe``.

    Raises:
        InputError: There is no such model, its files are damaged or of a later version, or its recipe is no part of
            absynth and was not imported before: code that comes with a model is never run.
    """
    if not isinstance(source, str | Path):
        raise InputError(
            f"expected a folder or OWNER/NAME of a model on the hub, got {source!r}: give its path or name"
        )
    folder = Path(source).expanduser()
    if not folder.exists() and hub.is_id(str(source)):
        folder = hub.fetch(str(source), revision=revision)
    elif revision:
        raise InputError(f"expected no revision with a folder, got {revision!r} for {source}: leave it out")
    elif not folder.is_dir():
        raise InputError(f"expected a folder or OWNER/NAME of a model on the hub, got {str(source)[:80]!r}")
    config = read_json(folder / "config.json", "give a folder that save_pretrained wrote, or a run directory")
    recipe = config.get("recipe")
    module = recipe.partition(":")[0] if isinstance(recipe, str) and ":" in recipe else ""
    if module and module not in sys.modules:
        raise InputError(
            f"{source} was made by the recipe {recipe}, which is no part of absynth: import {module} before loading it"
        )
    return checkpoint.load(folder, device=device)


def _check_texts(license: Any, name: Any, limits: Any) -> None:
    """Raise an InputError where something else is given for a text."""
    for field, text in (("license", license), ("name", name)):
        if not isinstance(text, str):
            raise InputError(f"expected {field} as text, got {text!r}: leave it out, or give {field}={str(text)!r}")
        if len(text.splitlines()) > 1:
            raise InputError(f"expected {field} on one line, got {text!r}: a license is a name such as CC-BY-4.0")
    if isinstance(limits, str) or not all(isinstance(each, str) for each in limits):
        raise InputError(f"expected limits as a list of sentences, got {limits!r}: put them in brackets")


def _check_place(folder: Path) -> None:
    """Raise an InputError if the folder holds something else than a saved model."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"expected a folder to save to, got the file {folder}: choose another")
    if not folder.is_dir() or all(path.name.startswith(".") for path in folder.iterdir()):  # new, or a fresh clone
        return
    config = folder / "config.json"
    if not config.exists() or "format" not in read_json(config):
        raise InputError(f"{folder} is not empty and holds no saved model: choose another folder")


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """A copy of a run's configuration without paths of this machine."""
    found = json.loads(json.dumps(config))
    found.pop("module_folder", None)
    found["fields"] = {key: _name_of(value) for key, value in found["fields"].items()}
    found["data"]["source"] = _name_of(found["data"]["source"])
    return found


def _name_of(value: Any) -> Any:
    """The last part of an absolute path; everything else as it is."""
    if not isinstance(value, str):
        return value
    kinds = [kind for kind in (PurePosixPath, PureWindowsPath) if kind(value).is_absolute() or value.startswith("~")]
    return kinds[0](value).name if kinds else value


def _halved(model: Algorithm, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state with its parameters in float16; buffers, which may hold statistics and indices, are kept."""
    names = {key for key, value in model.named_parameters(remove_duplicate=False) if value.dtype == torch.float32}
    large = max((float(state[key].abs().max()) for key in names if state[key].numel()), default=0.0)
    if large > torch.finfo(torch.float16).max:
        raise InputError(f"expected weights below 65504 to store in float16, got {large:g}: save without half")
    return {key: value.half() if key in names else value for key, value in state.items()}


def _copy_logs(run: Path, folder: Path) -> None:
    """The learning curves, thinned out, and the journal."""
    rows, _ = logs.current(logs.read_lines(run / "metrics.jsonl")[0])
    every = max(1, -(-len(rows) // LINES))
    kept = [row for i, row in enumerate(rows) if i % every == 0 or i == len(rows) - 1]
    journal, _ = logs.read_lines(run / "journal.jsonl")
    for file, lines in (("metrics.jsonl", kept), ("journal.jsonl", journal)):
        write_atomic(folder / file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _drop_results(folder: Path) -> None:
    """Remove results of tasks on the weights that were there before."""
    for path in folder.glob("*/result.json"):
        shutil.rmtree(path.parent)
    shutil.rmtree(folder / "curves", ignore_errors=True)


def _copy_result(source: Path, result: TaskResult, folder: Path, name: str) -> None:
    """A result with its pictures, with a command that runs on the saved model."""
    place = folder / source.name
    place.mkdir(exist_ok=True)
    for picture in result.pictures:
        if (source / picture["file"]).is_file():
            shutil.copyfile(source / picture["file"], place / picture["file"])
    replace(result, command=_command(result, name)).save(place)


def _command(result: TaskResult, name: str) -> str:
    """The command of a result, on the saved model and without paths of this machine."""
    program, task, _, *flags = [*shlex.split(result.command), "", "", ""][: max(3, len(shlex.split(result.command)))]
    kept = [flag for flag, before in zip(flags, ["", *flags]) if flag != "--out" and before != "--out"]
    return shlex.join([program, task, name, *map(_name_of, kept)])
