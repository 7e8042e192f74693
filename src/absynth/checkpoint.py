"""Runs on disk: claiming a directory, checkpoints that survive a kill, weights that travel.

Everything is written aside, synced, and renamed into place, so that a kill or a full disk at any moment leaves the last
complete state. Nothing is ever unpickled: training state is read with ``weights_only=True``, weights are safetensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import reprlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch

from absynth import lock
from absynth.devices import choose_device
from absynth.errors import Diverged, InputError
from absynth.files import check_file, file_digest, read_json, refused, sync, write_atomic, write_json
from absynth.rebuilding import anew, is_shared, read_recipe, rebuild

if TYPE_CHECKING:
    from absynth.algorithms import Algorithm
    from absynth.recipes.recipe import Recipe


_OVERRIDABLE = (
    "lr",
    "step_size",
    "temperature",
    "_weight",
    "decay",
    "ema",
    "noise",
    "retries",
    "difference",
    "stability",
)
"""Endings of the fields that ``--override`` may change on resume: no network's shape depends on them."""
_STEP = re.compile(r"step_(\d+)")
_BEGUN = ("recipe.json", "config.json", "model.safetensors", "metrics.jsonl", "journal.jsonl", "report.html")
"""What a run has before its first update, besides checkpoints."""

FORMAT = 1
"""Format of saved models; a run's own config.json names none."""


# Claiming a run directory --------------------------------------------------------------------------------------------


def claim(run: Path, recipe: Recipe, *, override: bool = False) -> str:
    """Make ``run`` the directory of ``recipe``.

    Args:
        run: Run directory. Created if missing.
        recipe: The recipe.
        override: Whether learning rates, step sizes and other numbers that no network depends on may differ from those
            that the run began with; recipe.json then holds the new ones.

    Returns:
        What was overridden, one phrase; "" if nothing.

    A run that was claimed before and never trained gives way to the recipe.

    Raises:
        InputError: The directory holds another run, other files or other numbers, or the data changed.
    """
    entry, changed = recipe.entry(), ""
    path = run / "recipe.json"
    if path.exists():
        try:
            changed = _compare(run, recipe, entry, override)
        except InputError:
            if not untrained(run):
                raise
            _clear(run)
    elif run.is_dir() and any(p for p in run.iterdir() if not _aside(p)):
        raise InputError(f"{run} is not empty and is no run (it has no recipe.json): choose another --out")
    try:
        run.mkdir(parents=True, exist_ok=True)
        for left in filter(_aside, run.iterdir()):  # what a kill left half written
            if left.name != lock.NAME:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    except OSError as error:
        raise refused(run, error) from error
    write_json(path, entry)
    return changed


def _compare(run: Path, recipe: Recipe, entry: dict, override: bool) -> str:
    """What was overridden, one phrase; an InputError where the directory holds another run, or the data changed."""
    path = run / "recipe.json"
    known = read_json(path)
    if not isinstance(known.get("recipe"), str) or not isinstance(known.get("fields"), dict):
        raise InputError(f"{path} is damaged, expected the recipe's name and fields: choose another --out")
    if not isinstance(known.get("data"), dict):
        raise InputError(f"{run} was made by absynth 0.1, which this version cannot resume: choose another --out")
    if known["recipe"] != entry["recipe"]:
        raise InputError(
            f"{run} is a run of {known['recipe']}, expected {entry['recipe']}: choose another --out, or that recipe"
        )
    _check_data(run, known["data"], entry["data"])
    return _changes(run, recipe, known["fields"], entry["fields"], override)


def untrained(run: Path) -> bool:
    """Whether a run was begun and never trained: it has no checkpoint and no weights but the initial ones."""
    if any(int(m[1]) for path in run.glob("*step_*") if (m := _STEP.search(path.name))):
        return False
    try:
        return finished(run) == 0 and (run / "config.json").exists() >= (run / "model.safetensors").exists()
    except InputError:  # damaged
        return False


def require_trained(run: Path) -> None:
    """Raise an InputError that says how to train a run that was begun and never trained."""
    path = run / "recipe.json"
    if not path.exists() or not untrained(run):
        return
    known = read_json(path)
    data = (known.get("fields") or {}).get("data") or "DATA"
    raise InputError(
        f"{run} has no trained weights yet: train it with absynth train {known.get('recipe')} --data {data} --out {run}"
    )


def _clear(run: Path) -> None:
    """Remove what a run that was never trained left."""
    for path in (*run.glob("*step_*"), *(run / name for name in _BEGUN)):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _changes(run: Path, recipe: Recipe, theirs: dict, ours: dict, override: bool) -> str:
    """The fields that differ and may not, as an InputError; or those that were overridden, as a phrase."""
    ours = json.loads(json.dumps(ours))  # so that tuples and lists compare equal
    differ = [k for k in ours if k not in recipe.resumable and k in theirs and ours[k] != theirs[k]]
    what = ", ".join(f"{k} {reprlib.repr(theirs[k])} there, {reprlib.repr(ours[k])} now" for k in differ)
    fixed = [k for k in differ if not k.endswith(_OVERRIDABLE)]
    if differ and (not override or fixed):
        allowed = "" if fixed else ", or add --override to change them on purpose"
        raise InputError(
            f"{run} was begun with other numbers ({what}): choose another --out, or the same numbers{allowed}"
        )
    return what


def recorded_steps(run: Path) -> int | None:
    """The number of updates that a run was begun with; None where there is none, or none was trained."""
    path = run / "recipe.json"
    steps = read_json(path).get("fields", {}).get("steps") if path.exists() and not untrained(run) else None
    return steps if isinstance(steps, int) else None


def _check_data(run: Path, then: dict, now: dict) -> None:
    """Raise an InputError if the data differ from those that the run began with."""
    if then["fingerprint"] == now["fingerprint"]:
        return
    counts = f"{then['examples']} examples then, {now['examples']} now"
    if then["examples"] == now["examples"]:
        counts = f"{now['examples']} examples as then, with other values or names"
    if not then.get("source") and now.get("source"):
        raise InputError(
            f"{run} was begun on data in memory, got {now['source']} ({counts}): give the same examples again by "
            "absynth.fit(recipe, run, data=...), or choose another --out"
        )
    raise InputError(
        f"the data changed since this run began ({counts}): give --data to point to the original, or choose "
        "another --out"
    )


def _aside(path: Path) -> bool:
    return path.name == lock.NAME or (path.name.startswith(".") and path.name.endswith(".tmp"))


# Checkpoints ---------------------------------------------------------------------------------------------------------


def save(run: Path, step: int, state: dict, keep: int) -> None:
    """Write ``step_NNNNNN/state.pt`` with its digest, and let go of all but the newest ``keep`` checkpoints."""
    folder = run / f"step_{step:06d}"
    aside = run / f".{folder.name}.{os.getpid()}.tmp"
    before = run / f".{folder.name}.{os.getpid()}.before.tmp"
    for path in (aside, before):
        shutil.rmtree(path, ignore_errors=True)
    try:
        aside.mkdir()
        torch.save(state, aside / "state.pt")
        (aside / "sha256").write_text(file_digest(aside / "state.pt") + "\n")
        for file in (aside / "state.pt", aside / "sha256", aside):
            sync(file)
        if folder.exists():  # a rolled-back run writes the same step again
            folder.rename(before)
        aside.rename(folder)
        sync(run)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise refused(folder, error) from error
    finally:
        if before.exists() and not folder.exists():
            before.rename(folder)
        for path in (aside, before):
            shutil.rmtree(path, ignore_errors=True)
    for old in checkpoints(run)[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    found = {path: _STEP.fullmatch(path.name) for path in run.glob("step_*") if path.is_dir()}
    return sorted((p for p, m in found.items() if m), key=lambda p: int(p.name.removeprefix("step_")), reverse=True)


def drop_after(run: Path, step: int) -> None:
    """Forget checkpoints later than ``step``: the run went back past them."""
    for folder in checkpoints(run):
        if int(folder.name.removeprefix("step_")) > step:
            shutil.rmtree(folder)


def latest(run: Path, device: torch.device, say: Callable[[str], object]) -> dict | None:
    """The newest complete checkpoint; a damaged one is renamed, so that it counts no more, and ``say`` is called."""
    folders = checkpoints(run)
    for folder in folders:
        try:
            check_file(folder / "sha256")
            if (folder / "sha256").read_text().strip() != file_digest(folder / "state.pt"):
                raise ValueError("its digest does not match")
            return torch.load(folder / "state.pt", map_location=device, weights_only=True)
        except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError) as error:
            damaged = folder.with_name(f"damaged_{folder.name}")
            shutil.rmtree(damaged, ignore_errors=True)
            folder.rename(damaged)
            say(f"checkpoint {folder.name} is damaged ({str(error).splitlines()[0]}), now {damaged.name}")
    if folders:
        say("no checkpoint is intact: starting afresh")
    return None


# Weights that travel -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """What ``load`` reads: weights under their names and everything that rebuilds the networks."""

    state: dict[str, torch.Tensor]
    config: dict


def export(run: Path, weights: Weights) -> None:
    """Write model.safetensors and config.json.

    The weights carry a digest of themselves and of the recipe, so that damage and another run's weights are noticed.

    Raises:
        Diverged: A weight is not finite; what was exported before stays.
    """
    # Clones, because safetensors refuses tied weights.
    tensors = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in weights.state.items()}
    bad = next((k for k, v in tensors.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)
    if bad is not None:
        raise Diverged(
            f"the weights {bad} are not finite: give a smaller step size or learning rate, or keep the guard on"
        )
    # One entry: safetensors writes several in any order, and equal runs must write equal files.
    metadata = {"digests": f"{tensor_digest(tensors)} {_recipe_digest(weights.config)}"}
    write_atomic(run / "model.safetensors", safetensors.torch.save(tensors, metadata))
    write_json(run / "config.json", weights.config)


def tensor_digest(tensors: dict[str, torch.Tensor]) -> str:
    """A digest of tensors and their names."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def _recipe_digest(config: dict) -> str:
    """A digest of what the shapes and the meaning of weights follow from."""
    kept = {"recipe": config.get("recipe"), "data": config.get("data"), "fields": config.get("fields")}
    kept["fields"] = {k: v for k, v in (kept["fields"] or {}).items() if k not in ("data", "steps", "keep", "patience")}
    kept["fields"] = {k: v for k, v in kept["fields"].items() if not k.endswith(("_every", *_OVERRIDABLE))}
    return hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=16).hexdigest()


def finished(run: Path) -> int:
    """Number of updates behind the exported weights of a run; 0 where there are none."""
    if not (run / "model.safetensors").exists() or not (run / "config.json").exists():
        return 0
    step = read_json(run / "config.json").get("step")
    return step if isinstance(step, int) else 0


def stored_digest(run: Path) -> str:
    """The digest of a run's exported tensors, as :func:`tensor_digest` computes it; "" where none is stored."""
    try:
        with safetensors.safe_open(run / "model.safetensors", "pt") as file:
            return (file.metadata() or {}).get("digests", "").partition(" ")[0]
    except (OSError, safetensors.SafetensorError):
        return ""


def _weights(run: Path, config: dict) -> dict[str, torch.Tensor]:
    """The tensors of a run, checked against their digest and the run's recipe.

    Raises:
        InputError: They are damaged or another run's.
    """
    path = run / "model.safetensors"
    check_file(path)
    try:
        with safetensors.safe_open(path, "pt") as file:
            digest, _, recipe = (file.metadata() or {}).get("digests", "").partition(" ")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]}): {anew(run)}") from None
    if digest != tensor_digest(tensors):
        resume = "" if is_shared(run) else "resume the run to write it anew, or "
        raise InputError(f"{path} is damaged (its digest does not match): {resume}{anew(run)}")
    if recipe != _recipe_digest(config):
        raise InputError(f"{path} holds the weights of another run than {run / 'config.json'}: restore the run's own")
    return tensors


def load(run: str | Path, *, device: str | torch.device = "cpu") -> Algorithm:
    """A trained model from its run directory, ready to sample: ``ab.load("runs/m")``.

    Args:
        run: a directory that ``fit`` or ``absynth train`` made.
        device: where to put it.

    Returns:
        The algorithm with its saved weights, in evaluation mode, with the recipe as ``.recipe``.

    Raises:
        InputError: there is no run, or its files are damaged.
    """
    if not isinstance(run, str | Path):
        raise InputError(f"expected a run directory, got {run!r}: absynth train METHOD --data DATA makes one")
    run = Path(run).expanduser()
    if run.is_file():
        raise InputError(f"expected a run directory, got the file {run}: name the run, and give the file by --data")
    if not run.is_dir():
        raise InputError(
            f"expected a run directory, found none at {run}: absynth train METHOD --data DATA --out {run} makes one"
        )
    device = choose_device(device)
    if is_shared(run) and not (run / "model.safetensors").exists():
        raise InputError(f"expected {run}/model.safetensors, found none: {anew(run)}")
    require_trained(run)
    config = read_json(run / "config.json", anew(run) if is_shared(run) else "absynth train makes run directories")
    if config.get("format", FORMAT) != FORMAT:
        raise InputError(
            f"{run} is in format {config['format']!r}, this version reads format {FORMAT}: pip install -U absynth"
        )
    if not _trusted(config.get("module_folder"), run):
        config.pop("module_folder")
    recipe = read_recipe(config, run)
    weights = _weights(run, config)  # before networks are made: their sizes may be anything in a stranger's file
    algorithm = rebuild(recipe, config, weights, run)
    try:
        algorithm.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{run}/model.safetensors does not fit its config.json ({reason}): {anew(run)}") from None
    algorithm.config, algorithm.run = config, run
    return algorithm.to(device).eval()


def _trusted(module_folder: object, run: Path) -> bool:
    """Whether the module of a recipe of your own may be imported from where the run says that it is.

    A module inside the run came with it, perhaps from a stranger, and must not run.
    """
    if module_folder is None:
        return True
    folder = Path(module_folder) if isinstance(module_folder, str) else Path()
    return folder.is_absolute() and not folder.resolve().is_relative_to(run.resolve())
