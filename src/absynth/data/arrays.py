"""Arrays of images: from files that numpy wrote, memory-mapped where they can be, or from memory.

Nothing is copied that is large: a split of a large array is a view of some of its rows, read when a minibatch asks.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from absynth.data.joined import JoinedArray
from absynth.errors import InputError

COPIED = 1 << 26
"""Arrays of fewer bytes are copied; larger ones are read in place."""

RESIZED = 1 << 30
"""Resized images of fewer bytes are kept; more are resized whenever a minibatch asks for them."""

LARGEST = 1e30
"""Larger numbers are refused: their squares do not fit into float32."""

DARK = 63
"""Bytes of which none is larger are taken for numbers of fewer bits: they have the range that they use."""

_SLAB = 1 << 24  # values looked at together
_FAILURES = Exception  # the parsers of numpy and zipfile raise all kinds on damaged files
_PARTS: dict[str, str] = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_EXAMPLES = ("x", "images", "image", "data", "imgs", "features", "frames", "clips", "voxels", "arr_0")
_LABELS = ("y", "labels", "label", "target", "targets", "arr_1")

Part = Literal["train", "validation", "test", "all"]

Rows = np.ndarray | JoinedArray


class ArrayRows:
    """Some rows of an array, read when they are asked for.

    Args:
        array: ``[N, ...]``, of any type of numbers; it may be memory-mapped, in one file or several.
        rows: Which rows; None is all.
        channels: 1 makes RGB grey, 3 repeats grey; 0 leaves them.
        size: Side in pixels that images are resized to; 0 leaves them.
    """

    def __init__(
        self, array: np.ndarray | JoinedArray, rows: np.ndarray | None = None, *, channels: int = 0, size: int = 0
    ) -> None:
        self.array, self.channels, self.size = array, channels or array.shape[1], size
        self.rows = np.arange(len(array)) if rows is None else rows
        self.shape = torch.Size((len(self.rows), self.channels, *((size, size) if size else array.shape[2:])))
        self.dtype = torch.uint8 if array.dtype in (np.uint8, np.bool_) else torch.float64
        if array.dtype == np.float32 or (array.dtype.itemsize <= 2 and self.dtype == torch.float64):
            self.dtype = torch.float32

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor | slice) -> Shaped[Tensor, "b ..."]:
        index = torch.arange(len(self))[index] if isinstance(index, slice) else index
        found = np.ascontiguousarray(self.array[self.rows[index.numpy()]])
        wanted = {torch.uint8: np.uint8, torch.float32: np.float32, torch.float64: np.float64}[self.dtype]
        x = with_channels(torch.from_numpy(found.astype(wanted, copy=False)), self.channels)
        return resize(x, self.size) if self.size else x

    def take(self, rows: Tensor) -> ArrayRows:
        """Some of the rows, in this order."""
        return ArrayRows(self.array, self.rows[rows.numpy()], channels=self.channels, size=self.size)


def with_channels(x: Shaped[Tensor, "n c h w"], channels: int) -> Shaped[Tensor, "n channels h w"]:
    """Grey images as RGB, or RGB as grey by the luma weights of ITU-R 601.

    Raises:
        InputError: Any other change of channels.
    """
    if channels in (0, x.shape[1]):
        return x
    if (x.shape[1], channels) == (1, 3):
        return x.repeat(1, 3, 1, 1)
    if (x.shape[1], channels) != (3, 1):
        raise InputError(f"expected --channels 1 (grey) or 3 (colour), got {channels} for {x.shape[1]} channels")
    grey = (x.double() * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(3, 1, 1)).sum(1, keepdim=True)
    return grey.round().to(x.dtype) if x.dtype == torch.uint8 else grey.to(x.dtype)


# --- files ----------------------------------------------------------------------------------------------------------


def load_arrays(path: Path, keys: list[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``, or the one of an ``.npy``, memory-mapped, under the key ``arr_0``. Never unpickles.

    Args:
        path: The file.
        keys: Which arrays of an ``.npz``; None is all.

    Raises:
        InputError: Pickled objects, or a file that is no such archive or shorter than its header says.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(6)
        if magic[:1] == b"\x80":
            raise ValueError("a pickle")
        if magic == b"\x93NUMPY":  # copy on write: torch takes only arrays that can be written
            _require_whole(path)
            return {"arr_0": np.load(path, mmap_mode="c", allow_pickle=False)}
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
            return {key: _member(archive, members[key]) for key in (members if keys is None else keys)}
    except _FAILURES as error:
        if any(word in str(error) for word in ("pickle", "Object arrays", "Python objects")):
            raise InputError(
                f"{path}: expected a plain array, got pickled Python objects, which are never loaded: save numbers, "
                "np.save(path, np.stack(images))"
            ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: expected a whole .npy or .npz file, got one that cannot be read ({reason}): copy or save it again"
        ) from error


def _require_whole(path: Path) -> None:
    """Raise a ValueError where a file is shorter than its header says."""
    with path.open("rb") as file:
        shape, dtype = _header(file)
        claimed = file.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if not dtype.hasobject and (size := path.stat().st_size) < claimed:
        raise ValueError(f"it has {size} bytes, its header claims {claimed}")


def headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of each array of an ``.npz`` or ``.npy`` file, without its data.

    Raises:
        InputError: The file is no such archive.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(6)
            if magic[:1] == b"\x80":
                return load_arrays(path)  # type: ignore[return-value]  # raises
            if magic == b"\x93NUMPY":
                file.seek(0)
                return {"arr_0": _header(file)}
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            found = {}
            for name in names:
                with archive.open(name) as member:
                    found[name.removesuffix(".npy")] = _header(member)
            return found
    except InputError:
        raise
    except _FAILURES as error:
        said = " ".join(str(error).split()) or type(error).__name__
        empty = path.is_file() and not path.stat().st_size
        reason = "an empty file" if empty else f"another file, or one that is cut off ({said})"
        raise InputError(
            f"{path}: expected arrays as numpy writes them, got {reason}: copy or save it again"
        ) from error


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    size = archive.getinfo(name).file_size
    with archive.open(name) as file:
        shape, dtype = _header(file)
    if dtype.hasobject:
        raise ValueError("Python objects")
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if claimed > size:  # else memory for the claim would be allocated
        raise ValueError(f"{name} has {size} bytes, its header claims {claimed}")
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def splits_of(path: Path, dims: tuple[int, ...]) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Examples and labels of each split of a file that numpy wrote; one entry "all" where it names no splits.

    Examples are found by their key (x, images, data ...), or are the only array of ``dims`` dimensions; a part of the
    key names a split (x_train, train_images, X_test ...).

    Args:
        path: An ``.npz`` or ``.npy`` file.
        dims: Numbers of dimensions that examples may have.

    Raises:
        InputError: No array or several can be the examples; the message lists the keys.
    """
    found = headers(path)
    named: dict[str, dict[str, str]] = {}
    for key in found:
        part, role = _role(key)
        if role:
            named.setdefault(part, {}).setdefault(role, key)
    parts = {part: roles for part, roles in named.items() if "x" in roles}
    if not parts:
        likely = [key for key, (shape, dtype) in found.items() if len(shape) in dims and dtype.kind in "buif"]
        if len(likely) != 1:
            keys = ", ".join(f"{k} {list(s)}" for k, (s, _) in list(found.items())[:8]) or "none"
            raise InputError(
                f"{path}: expected examples under the key x, images, data or arr_0, or x_train and x_test, "
                f"got keys {keys}: save them by such a name"
            )
        parts = {"all": {"x": likely[0], **named.get("all", {})}}
    if "train" in parts:
        parts.pop("all", None)
    elif "all" in parts:
        parts = {"all": parts["all"]}
    wanted = [key for roles in parts.values() for role, key in roles.items() if role in ("x", "y")]
    arrays = load_arrays(path, wanted)
    return {part: (arrays[roles["x"]], arrays[roles["y"]] if "y" in roles else None) for part, roles in parts.items()}


def names_labels(key: str) -> bool:
    """Whether the key of an array says that it holds labels."""
    return _role(key)[1] == "y"


def names_examples(key: str) -> bool:
    """Whether the key of an array says that it holds examples."""
    return _role(key)[1] == "x"


def _role(key: str) -> tuple[str, str]:
    """Split and role ("x", "y" or "") that a key names."""
    low = key.lower()
    if low in _EXAMPLES or low in _LABELS:
        return "all", "x" if low in _EXAMPLES else "y"
    words = [w for w in re.split(r"[_\-. ]+", low) if w]
    part = next((_PARTS[w] for w in words if w in _PARTS), "")
    rest = "_".join(w for w in words if w not in _PARTS)
    if not part:
        return "all", ""
    return part, "x" if rest in _EXAMPLES else "y" if rest in _LABELS else ""


# --- values ---------------------------------------------------------------------------------------------------------


def images_of(x: Rows, *, dark: int = DARK) -> tuple[Rows, float, float]:
    """Checked images ``[n, C, H, W]`` with 1 or 3 channels, and the range of their values.

    The result is a view of ``x`` unless it holds transparent bytes.

    Args:
        x: The images.
        dark: Bytes of which none is larger have the range that they use.

    Raises:
        InputError: Wrong shape, no numbers, NaN, infinite or huge values, a constant array.
    """
    shapes = "[n, H, W], [n, C, H, W] or [n, H, W, C] with 1, 3 or 4 channels"
    if x.ndim not in (3, 4):
        raise InputError(f"expected an array {shapes}, got shape {list(x.shape)}")
    if x.dtype.kind not in "buif":
        raise InputError(f"expected an array of numbers, got type {x.dtype}")
    if not x.size:
        raise InputError(f"expected images, got an empty array of shape {list(x.shape)}")
    if x.ndim == 3:
        x = _viewed(x, lambda part: part[:, None])
    else:
        position = next((p for channels in ((1, 3), (4,)) for p in (1, 3) if x.shape[p] in channels), None)
        if position is None:
            raise InputError(f"expected an array {shapes}, got shape {list(x.shape)}")
        x = _viewed(x, lambda part: np.moveaxis(part, position, 1))
    _require_finite(x)
    low, high = _range(x, 3)
    if low == high:
        raise InputError(f"expected images that vary, got one value everywhere: {x[:1].flat[0]}")
    if max(abs(low), abs(high)) > LARGEST:
        first = next(
            begin + int(np.argmax((np.abs(slab.astype(np.float64)) > LARGEST).reshape(len(slab), -1).any(1)))
            for begin, slab in _slabs(x)
            if max(abs(float(slab.min())), abs(float(slab.max()))) > LARGEST
        )
        raise InputError(
            f"expected values below {LARGEST:g}, got {low:g} to {high:g}, the first in image {first}: remove it"
        )
    if x.dtype == np.uint8:
        top = range_of_bytes(*_range(x), dark=dark)[1]
        return (_on_white(x, top) if x.shape[1] == 4 else x), 0.0, top
    x = _viewed(x, lambda part: part[:, :3]) if x.shape[1] == 4 else x
    return (x, 0.0, 1.0) if x.dtype == np.bool_ else (x, low, high)


def range_of_bytes(low: float, high: float, *, dark: int = DARK) -> tuple[float, float]:
    """The range of images of bytes with these extreme values: 0 to 255, or to the largest where that is small."""
    return 0.0, 255.0 if high > dark else max(1.0, high)


def _viewed(x: Rows, view: Callable[[np.ndarray], np.ndarray]) -> Rows:
    return x.map(view) if isinstance(x, JoinedArray) else view(x)


def stored(x: Rows, rows: np.ndarray, *, size: int = 0, channels: int = 0) -> Tensor | ArrayRows:
    """Some of the images: a tensor where they are small or become small, else a view that reads minibatches."""
    view = ArrayRows(x, rows, channels=channels, size=size)
    chosen = torch.arange(len(rows))
    if view.shape.numel() * view.dtype.itemsize > RESIZED if size else x.nbytes > COPIED:
        return view
    pieces = [view[some] for some in chosen.split(1024)]
    return torch.cat(pieces) if pieces else view[chosen]


def resize(x: Shaped[Tensor, "n c h w"], size: int) -> Shaped[Tensor, "n c size size"]:
    """The central square, resized with antialiasing: a triangle filter, as for files, so no value overshoots."""
    side = min(x.shape[2:])
    top, left = (x.shape[2] - side) // 2, (x.shape[3] - side) // 2
    x = x[:, :, top : top + side, left : left + side]
    values = x if x.is_floating_point() else x.float()
    resized = nn.functional.interpolate(values, size=(size, size), mode="bilinear", antialias=True)
    return resized if x.is_floating_point() else resized.round().to(x.dtype)


def _slabs(x: Rows) -> Iterator[tuple[int, np.ndarray]]:
    rows = max(1, _SLAB // max(1, int(np.prod(x.shape[1:]))))
    for begin in range(0, len(x), rows):
        yield begin, x[begin : begin + rows]


def _require_finite(x: Rows) -> None:
    if x.dtype.kind != "f":
        return
    count, first = 0, None
    for begin, slab in _slabs(x):
        bad = ~np.isfinite(slab)
        if bad.any():
            count += int(bad.sum())
            if first is None:
                at = np.unravel_index(int(np.argmax(bad)), slab.shape)
                first = (begin + int(at[0]), *map(int, at[1:]))
    if first is not None:
        raise InputError(
            f"expected finite values, got {count} that are NaN or infinite, the first in image {first[0]}, at index "
            f"{first}: repair or remove those images"
        )


def _range(x: Rows, channels: int | None = None) -> tuple[float, float]:
    """Smallest and largest value of the first channels."""
    pairs = [(slab[:, :channels].min(), slab[:, :channels].max()) for _, slab in _slabs(x)]
    return float(min(low for low, _ in pairs)), float(max(high for _, high in pairs))


def _on_white(x: Rows, high: float) -> np.ndarray:
    if isinstance(x, JoinedArray):  # a copy of all of them need not fit into memory
        raise InputError("expected arrays of 1 or 3 channels in a folder, got 4: flatten the images on white")
    out = np.empty((len(x), 3, *x.shape[2:]), np.uint8)
    for begin, slab in _slabs(x):
        alpha = slab[:, 3:].astype(np.float32) / high
        out[begin : begin + len(slab)] = (slab[:, :3] * alpha + high * (1 - alpha)).round()
    return out
