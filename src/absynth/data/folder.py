"""Pictures that users bring: a folder of them, or an array in an ``.npz`` or ``.npy`` file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from absynth.data.images import Images, Progress, load_arrays, read_pictures
from absynth.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")


Part = Literal["train", "test", "all"]
"""``all``: every picture, for a trained model to look at."""


def images(path: Path | str, split: Part, *, size: int = 0, progress: Progress | None = None) -> Images:
    """The pictures at ``path``; their size, channels and range are found.

    *A folder*: every picture in it and in its sub-folders, hidden files aside; of an animation, the first frame.
    Transparency is flattened on white, and one colour picture makes all of them RGB. Where every picture lies in one of
    several sub-folders, the sub-folders are the classes, numbered in the order of their names. Where there are
    sub-folders ``train`` and ``test``, they are the split.

    *An array*: see :func:`from_array`. In an ``.npz`` the key is ``x``, ``images`` or ``arr_0``, and ``y`` or
    ``labels`` if there are labels.

    Otherwise about one picture in ten is for testing, chosen by a hash of its name (in an array, of its index), so the
    choice is the same everywhere and stays when pictures are added.

    Args:
        path: a folder, an ``.npz`` or an ``.npy`` file.
        split: "train", "test", or "all" of it.
        size: side in pixels; each picture's central square is resized to it, with antialiasing. 0 leaves them as found.
        progress: called with (pictures read, pictures in all).

    Raises:
        InputError: nothing there, sizes that differ, a file that cannot be read, values that are not numbers.
    """
    path = Path(path).expanduser()
    if size < 0:
        raise InputError(f"expected size 0 (as found) or a number of pixels, got {size}")
    if path.is_dir():
        return _from_folder(path, split, size, progress)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; expected a folder of pictures, an .npz or an .npy file")
    if path.suffix not in (".npz", ".npy"):
        raise InputError(f"expected a folder of pictures, an .npz or an .npy file, got {path}")
    arrays = load_arrays(path)
    x, y = _pick(arrays, ("x", "images", "arr_0")), _pick(arrays, ("y", "labels"))
    if x is None:
        raise InputError(f"{path}: expected pictures under the key x, images or arr_0, got keys {', '.join(arrays)}")
    try:
        return from_array(x, split, labels=y, size=size, name=path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def from_array(
    x: np.ndarray, split: Part, *, labels: np.ndarray | None = None, size: int = 0, name: str = "array"
) -> Images:
    """Pictures ``[n, H, W]``, ``[n, C, H, W]`` or ``[n, H, W, C]`` with 1, 3 or 4 channels.

    The position of the channels is found by its size; where both fit, 1 or 3 goes before 4, and then the first. Bytes
    have range 0 to 255, but 0 to 1 if there is no value above 1; any other numbers are kept as floats, with the range
    of the whole array. The fourth channel is alpha: bytes are flattened on white; in other numbers its scale is
    unknown, and it is dropped.

    Args:
        x: the pictures.
        split: "train", "test" or "all"; about one in ten is for testing, by a hash of the index.
        labels: ``[n]``, integers, or text that is then numbered in its sorted order.
        size: as in :func:`images`.
        name: what the set is called.

    Raises:
        InputError: wrong shape, no numbers, NaN or infinite values, a constant array, labels that do not fit.
    """
    pictures, low, high = _pictures(x)
    rows = _rows([str(i) for i in range(len(pictures))], split)
    y = None if labels is None else torch.from_numpy(_labels(labels, len(pictures))[rows])
    chosen = torch.from_numpy(np.array(pictures[rows], order="C"))
    return Images(_resize(chosen, size) if size else chosen, y, name, low, high)


def files(path: Path | str, split: Part) -> list[Path]:
    """The picture files of a split of a folder, in the order of their names; the rules are those of :func:`images`.

    Raises:
        InputError: no such folder, or no pictures in it.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise InputError(f"{path}: expected a folder of pictures, found none")
    _, found, rows = _listed(path, split)
    return [found[row] for row in rows]


def _listed(path: Path, split: Part) -> tuple[Path, list[Path], np.ndarray]:
    """Where names begin, all picture files, and the rows of the split among them."""
    separate = split != "all" and (path / "train").is_dir() and (path / "test").is_dir()
    base = path / split if separate else path
    files = [
        Path(folder, file)
        for folder, _, names in os.walk(base)
        for file in names
        if file.lower().endswith(SUFFIXES)
        and not any(part[0] == "." for part in Path(folder, file).relative_to(base).parts)
    ]
    if not files:
        raise InputError(f"{base}: expected pictures ({', '.join(SUFFIXES)}) in it or in its sub-folders, got none")
    files.sort(key=lambda file: file.relative_to(base).as_posix())
    names = [file.relative_to(base).as_posix() for file in files]
    return base, files, np.arange(len(files)) if separate else _rows(names, split)


def _from_folder(path: Path, split: Part, size: int, progress: Progress | None) -> Images:
    base, files, rows = _listed(path, split)
    names = [file.relative_to(base).as_posix() for file in files]
    tops = [name.split("/")[0] if "/" in name else "" for name in names]
    classes = sorted(set(tops))
    y = None
    if len(classes) > 1 and "" not in classes:
        y = torch.tensor([classes.index(tops[row]) for row in rows])
    return Images(read_pictures([files[row] for row in rows], size=size, progress=progress), y, path.name or "folder")


def _pick(arrays: dict[str, np.ndarray], keys: Sequence[str]) -> np.ndarray | None:
    lower = {key.lower(): value for key, value in arrays.items()}
    return next((lower[key] for key in keys if key in lower), None)


def _rows(names: Sequence[str], split: Part) -> np.ndarray:
    """The rows of a split: a name whose hash is divisible by ten is for testing; neither split is ever empty."""
    if split == "all":
        return np.arange(len(names))
    if len(names) < 2:
        raise InputError(f"expected at least 2 pictures, one to train and one to test, got {len(names)}")
    hashes = [
        int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") for name in names
    ]
    test = np.array([number % 10 == 0 for number in hashes])
    if test.all() or not test.any():  # possible among few pictures only
        test[:] = False
        test[hashes.index(min(hashes))] = True
    return np.flatnonzero(test if split == "test" else ~test)


def _pictures(x: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Checked pictures [n, C, H, W] with 1 or 3 channels, and the range of their values."""
    shapes = "[n, H, W], [n, C, H, W] or [n, H, W, C] with 1, 3 or 4 channels"
    if x.ndim not in (3, 4):
        raise InputError(f"expected an array {shapes}, got shape {list(x.shape)}")
    if x.dtype.kind not in "buif":
        raise InputError(f"expected an array of numbers, got type {x.dtype}")
    if not x.size:
        raise InputError(f"expected pictures, got an empty array of shape {list(x.shape)}")
    if x.dtype.kind == "f" and not (finite := np.isfinite(x)).all():
        first = tuple(int(i) for i in np.unravel_index(np.argmin(finite), x.shape))
        raise InputError(
            f"expected finite values, got {(~finite).sum()} that are NaN or infinite, the first at index {first}: "
            "repair or remove those pictures"
        )
    if x.ndim == 3:
        x = x[:, None]
    else:
        position = next((p for channels in ((1, 3), (4,)) for p in (1, 3) if x.shape[p] in channels), None)
        if position is None:
            raise InputError(f"expected an array {shapes}, got shape {list(x.shape)}")
        x = np.moveaxis(x, position, 1)
    if x[:, :3].min() == x[:, :3].max():
        raise InputError(f"expected pictures that vary, got one value everywhere: {x.flat[0]}")
    if x.dtype == np.uint8:
        high = 255.0 if x.max() > 1 else 1.0
        return (_on_white(x, high) if x.shape[1] == 4 else x), 0.0, high
    if x.dtype == np.bool_:
        return x[:, :3].astype(np.uint8), 0.0, 1.0
    x = x[:, :3] if x.shape[1] == 4 else x
    x = x.astype(np.float32 if x.dtype.itemsize <= 2 or x.dtype == np.float32 else np.float64)
    return x, float(x.min()), float(x.max())


def _on_white(x: np.ndarray, high: float) -> np.ndarray:
    alpha = x[:, 3:].astype(np.float32) / high
    return (x[:, :3] * alpha + high * (1 - alpha)).round().astype(np.uint8)


def _labels(labels: np.ndarray, n: int) -> np.ndarray:
    y = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if y.shape != (n,):
        raise InputError(f"expected one label a picture, shape [{n}], got shape {list(labels.shape)}")
    if y.dtype.kind in "US":
        return np.unique(y, return_inverse=True)[1].astype(np.int64)
    if y.dtype.kind not in "buif" or not (y == np.floor(y)).all():
        raise InputError(f"expected labels that are integers or text, got type {y.dtype}, first value {y[0]}")
    return y.astype(np.int64)


def _resize(x: Tensor, size: int) -> Tensor:
    """The central square, resized with antialiasing: a triangle filter, as for files, so no value overshoots."""
    side = min(x.shape[2:])
    top, left = (x.shape[2] - side) // 2, (x.shape[3] - side) // 2
    out = x.new_empty(len(x), x.shape[1], size, size)
    for into, rows in zip(out.split(1024), x[:, :, top : top + side, left : left + side].split(1024)):
        rows = rows if rows.is_floating_point() else rows.float()
        resized = nn.functional.interpolate(rows, size=(size, size), mode="bilinear", antialias=True)
        into.copy_(resized if out.is_floating_point() else resized.round())
    return out
