"""A folder of .npy files that each hold many images: ``x-000.npy``, ``x-001.npy``, with ``y-000.npy`` as labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from absynth.data import arrays, listing
from absynth.data.joined import JoinedArray
from absynth.errors import InputError

Parts = Mapping[str, tuple[np.ndarray | JoinedArray, np.ndarray | None]]
"""Examples and labels of each split; "all" where there are none."""


@dataclass(frozen=True)
class _Shard:
    """A file, and what its path says."""

    path: Path
    part: str
    key: str
    """What examples and their labels share."""
    holds_labels: bool
    shape: tuple[int, ...]
    dtype: np.dtype


def holds_labels(path: Path) -> bool:
    """Whether the name of a file says that it holds labels: ``y-000.npy``, ``labels_3.npy``, ``part-7-target.npy``."""
    return any(arrays.names_labels(word) for word in _words(path.stem))


def open_shards(path: Path) -> Parts:
    """The arrays of a folder and its sub-folders, joined in the order of their names; they stay on the disk.

    Splits are folders ``train``, ``val`` and ``test``, or such a word in the names of the files. Labels have the name
    of their examples with ``y``, ``label``, ``labels``, ``target`` or ``targets`` in it.

    Raises:
        InputError: Shapes or types that differ, a damaged file, examples without labels where others have some, or
            labels without examples.
    """
    found = [_shard(file, path) for file in listing.walk(path, (".npy",)).files]
    parts = sorted({shard.part for shard in found})
    if "" in parts and len(parts) > 1:
        odd = next(shard.path for shard in found if not shard.part)
        raise InputError(f"{odd}: expected the name of a split in it, as in those of other files: train, val or test")
    if parts != [""] and "train" not in parts:
        raise InputError(f"{path}: expected arrays for training, got those for {' and '.join(parts)}: rename them")
    _require_one_form([shard for shard in found if not shard.holds_labels], path)
    joined = {part or "all": _joined([shard for shard in found if shard.part == part], path) for part in parts}
    if len({y is None for _, y in joined.values()}) > 1:
        bare = next(part for part, (_, y) in joined.items() if y is None)
        raise InputError(f"{path}: expected labels of every split, got none of {bare}: add them or leave all out")
    return joined


def header(file: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array in a file.

    Raises:
        InputError: It is no .npy file.
    """
    found = arrays.headers(file)
    if list(found) != ["arr_0"]:
        raise InputError(f"{file}: expected one array as np.save writes it, got an archive: rename it to .npz")
    return found["arr_0"]


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+|\d+", name.lower())


def _shard(file: Path, base: Path) -> _Shard:
    folders = file.relative_to(base).parts[:-1]
    said = {listing.split_of(word) for word in (*folders, *_words(file.stem))} - {""}
    if len(said) > 1:
        raise InputError(f"{file}: expected the name of one split in it, got {' and '.join(sorted(said))}: rename it")
    roles = arrays.names_labels, arrays.names_examples
    words = [word for word in _words(file.stem) if not any(role(word) for role in roles)]
    key = "/".join([*(folder for folder in folders if not any(role(folder) for role in roles)), *words])
    shape, dtype = header(file)
    return _Shard(file, said.pop() if said else "", key, holds_labels(file), shape, dtype)


def _require_one_form(shards: list[_Shard], path: Path) -> None:
    """Raise an InputError unless all shards hold examples of one shape and type."""
    if not shards:
        raise InputError(f"{path}: expected arrays of examples, got labels alone: name examples x-000.npy")
    first = shards[0]
    for shard in shards:
        if shard.shape[1:] != first.shape[1:] or shard.dtype != first.dtype or not shard.shape:
            one, other = (f"{s.dtype} {list(s.shape)} in {s.path.name}" for s in (first, shard))
            raise InputError(
                f"{path}: expected arrays that differ in their first axis alone, got {one} and {other}: save them alike"
            )


def _joined(shards: list[_Shard], path: Path) -> tuple[JoinedArray, np.ndarray | None]:
    """The examples of a split, and their labels."""
    by_key: dict[bool, dict[str, _Shard]] = {False: {}, True: {}}
    for shard in shards:
        same = by_key[shard.holds_labels].setdefault(shard.key, shard)
        if same is not shard:
            raise InputError(
                f"{shard.path}: expected one file of this name and number, got {same.path.name} too: rename one"
            )
    examples, labels = by_key[False], by_key[True]
    for key, shard in labels.items():
        if key not in examples:
            raise InputError(f"{shard.path}: expected a file of examples of this number, got labels alone: remove it")
        n = examples[key].shape[0]
        if shard.shape not in ((n,), (n, 1)):
            raise InputError(
                f"{shard.path}: expected one label for each of the {n} examples of {examples[key].path.name}, shape "
                f"[{n}], got {list(shard.shape)}: give as many"
            )
    for key, shard in examples.items():
        if labels and key not in labels:
            raise InputError(f"{shard.path}: expected a file of labels beside it, as others have: add it")
        _mapped(shard.path)  # a file that is cut off is refused here
    x = JoinedArray([shard.path for shard in examples.values()], [s.shape[0] for s in examples.values()], _mapped)
    y = np.concatenate([_mapped(labels[key].path).reshape(-1) for key in examples]) if labels else None
    return x, y


def _mapped(path: Path) -> np.ndarray:
    return arrays.load_arrays(path)["arr_0"]
