"""Point clouds: from ``.npy`` and ``.npz`` arrays, ``.xyz`` and ``.ply`` files, and folders of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from absynth.data import arrays, labels, listing
from absynth.data.layouts import is_number
from absynth.data.shape_set import Shapes
from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.seeding import stream, uniform_like

CLOUDS = (".npy", ".ply", ".xyz")
"""Suffixes of files of a folder that hold one cloud each, in lower case."""
FEWEST = 16
"""The fewest points of a cloud that can be learned from."""
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class Points(Shapes):
    """Clouds of a split, centred and in [−1, 1]."""

    x: Float32[Tensor, "n p 3"]


def checked(x: np.ndarray, source: str) -> Float32[np.ndarray, "p 3"]:
    """One cloud.

    Raises:
        InputError: Another shape, too few points, values that are not finite.
    """
    if x.ndim != 2 or x.shape[1] < 3 or x.dtype.kind not in "buif":
        raise InputError(f"{source}: expected points of shape [n, 3], got {list(x.shape)} of type {x.dtype}")
    x = x[:, :3].astype(np.float32)
    if len(x) < FEWEST:
        raise InputError(f"{source}: expected at least {FEWEST} points, got {len(x)}: give denser clouds")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(1).sum())
        raise InputError(f"{source}: expected finite numbers, got {bad} points with NaN or infinite ones: remove them")
    return x


def read_xyz(path: Path) -> np.ndarray:
    """Lines of x, y, z and whatever follows; a first line that is a count, and a comment after it, are passed over."""
    try:
        lines = path.read_text().replace(",", " ").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected lines of x y z, got a file that cannot be read ({error})") from None
    begin = 2 if lines and len(lines[0].split()) == 1 else 0
    rows = []
    for number, line in enumerate(lines[begin:], begin + 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            rows.append([float(w) for w in words[-3 if not is_number(words[0]) else 0 :][:3]])
        except ValueError:
            raise InputError(f"{path}, line {number}: expected x y z, got {line[:60]!r}") from None
        if len(rows[-1]) < 3:
            raise InputError(f"{path}, line {number}: expected x y z, got {line[:60]!r}")
    return np.array(rows).reshape(-1, 3)


def read_ply(path: Path) -> np.ndarray:
    """The vertices of a ``.ply`` file, in text or binary.

    Raises:
        InputError: The file is no such file, is cut short, or its vertices have no x, y and z.
    """
    try:
        raw = path.read_bytes()
        head, mark, body = raw.partition(b"end_header\n")
        if not mark:
            head, mark, body = raw.partition(b"end_header\r\n")
        words = [line.split() for line in head.decode("ascii").splitlines()]
        if not mark or not words or words[0] != ["ply"]:
            raise ValueError("no ply header")
        form = next(w[1] for w in words if w[:1] == ["format"])
        at = next(i for i, w in enumerate(words) if w[:2] == ["element", "vertex"])
        if any(w[:1] == ["element"] for w in words[:at]):
            raise ValueError("vertices are not its first element")
        fields = []
        for w in words[at + 1 :]:
            if w[:1] == ["element"]:
                break
            if w[:1] == ["property"]:
                fields.append((w[-1], _TYPES[w[1]]))
        count, names = int(words[at][2]), [name for name, _ in fields]
        columns = [names.index(axis) for axis in "xyz"]
        if form == "ascii":
            rows = [line.split() for line in body.decode("ascii").splitlines()[:count]]
            found = np.array([[float(row[k]) for k in columns] for row in rows])
        else:
            order = {"binary_little_endian": "<", "binary_big_endian": ">"}[form]
            kind = np.dtype([(name, order + code) for name, code in fields])
            table = np.frombuffer(body, kind, count)
            found = np.stack([table[axis].astype(np.float64) for axis in "xyz"], 1)
        if len(found) < count:
            raise ValueError(f"{len(found)} of {count} vertices")
    except (OSError, ValueError, StopIteration, KeyError, IndexError) as error:
        raise InputError(f"{path}: expected a .ply file with x, y, z, got one that cannot be read ({error})") from None
    return found


def write_ply(x: Float[np.ndarray, "p 3"], path: Path) -> None:
    """Write one cloud as the vertices of a ``.ply`` file, in text."""
    head = ["ply", "format ascii 1.0", f"element vertex {len(x)}", *(f"property float {axis}" for axis in "xyz")]
    rows = [" ".join(f"{value:.7g}" for value in row) for row in x.tolist()]
    write_atomic(path, "\n".join([*head, "end_header", *rows, ""]))


def read_cloud(path: Path) -> Float32[np.ndarray, "p 3"]:
    """The one cloud of a file of :data:`CLOUDS`."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return checked(arrays.load_arrays(path)["arr_0"], str(path))
    return checked(read_ply(path) if suffix == ".ply" else read_xyz(path), str(path))


def gathered(clouds: list[np.ndarray], points: int, names: tuple[str, ...]) -> Float32[Tensor, "n p 3"]:
    """Clouds of equally many points, each centred, all in one scale.

    Args:
        clouds: Clouds of any numbers of points.
        points: Number of points to keep of each, at random; 0 keeps as many as the smallest has.
        names: Their names, for messages.

    Raises:
        InputError: A cloud has fewer points.
    """
    fewest = min(len(x) for x in clouds)
    if points > fewest:
        worst = names[[len(x) for x in clouds].index(fewest)]
        raise InputError(f"{worst}: expected at least --points {points} points, got {fewest}: give a smaller number")
    kept = []
    for i, cloud in enumerate(clouds):
        x = torch.from_numpy(cloud)
        order = uniform_like(torch.empty(len(x)), stream(0, 0, i)).argsort()
        x = x[order[: points or fewest]]
        kept.append(x - (x.amax(0) + x.amin(0)) / 2)
    found = torch.stack(kept)
    return found / found.abs().amax().clamp(min=1e-12)


def read_all(path: Path, points: int) -> tuple[Points, listing.Splits | None]:
    """The clouds of a file or folder; sub-folders are splits and classes, as for images."""
    if path.is_dir():
        found = listing.walk(path, CLOUDS)
        if not found.files:
            raise InputError(f"{path}: expected clouds ({', '.join(CLOUDS)}) in it or in its sub-folders, got none")
        splits = listing.split_and_class(found)
        names = tuple(splits.names)
        x = gathered([read_cloud(file) for file in splits.files], points, tuple(map(str, splits.files)))
        y = splits.labels()
        classes = splits.class_names if y is not None else ()
        return Points(x, None if y is None else torch.from_numpy(y).long(), classes, names), splits
    if path.suffix.lower() in (".npy", ".npz"):
        keys = list(arrays.headers(path))
        y = next((arrays.load_arrays(path, [k])[k] for k in keys if arrays.names_labels(k)), None)
        key = next((k for k in keys if not arrays.names_labels(k)), keys[0])
        return of_array(arrays.load_arrays(path, [key])[key], y, points, str(path)), None
    return Points(gathered([read_cloud(path)], points, (str(path),))), None


def of_array(x: np.ndarray, y: Any, points: int, source: str) -> Points:
    """Clouds ``[n, p, 3]`` or one ``[p, 3]``, and a class for each or None."""
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or not len(x):
        raise InputError(f"{source}: expected clouds of shape [n, points, 3], got {list(x.shape)}")
    clouds = [checked(cloud, f"{source}, cloud {i}") for i, cloud in enumerate(x)]
    kept = gathered(clouds, points, (source,) * len(clouds))
    found = None if y is None else labels.number(np.asarray(y), len(clouds), "cloud")
    return Points(kept) if found is None or not found.names else Points(kept, found.y, found.names)


def surface(voxels: Tensor, points: int, *, seed: int) -> Float[Tensor, "n p 3"]:
    """Points at random in the occupied voxels that have an empty neighbour, of shapes ``[n, d, h, w]`` of 0 and 1."""
    full = torch.nn.functional.pad(voxels.float(), [1] * 6)[:, None]
    inside = -torch.nn.functional.max_pool3d(-full, 3, stride=1)[:, 0]
    shell, clouds = (voxels > 0) & (inside == 0), []
    for i, shape in enumerate(shell):
        places, rng = shape.nonzero().float(), stream(seed, 0, i)
        chosen = (uniform_like(torch.empty(points), rng) * len(places)).long().clamp(max=len(places) - 1)
        clouds.append(places[chosen] + uniform_like(torch.empty(points, 3), rng))
    return torch.stack(clouds)
