"""Voxels of shapes: from arrays, ``.binvox``, ``.mat``, closed meshes, and folders of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor
from torch.nn import functional

from absynth.data import arrays, images, labels, listing
from absynth.data.dataset import Split
from absynth.data.shape_set import Shapes
from absynth.errors import InputError
from absynth.files import write_atomic

MESHES = (".off", ".obj", ".stl", ".glb", ".gltf")
"""Suffixes of meshes that trimesh reads, in lower case."""
SHAPES = (".binvox", ".mat", ".npy", *MESHES)
"""Suffixes of files of a folder that hold one shape each, in lower case."""
SIDE = 32
"""Side of the volume that a mesh is filled into where no size is given."""

_FAILURES = Exception  # readers raise all kinds on damaged files


@dataclass(frozen=True)
class Voxels(Shapes):
    """Shapes of a split; x is 1 where a voxel is occupied, else 0."""

    x: UInt8[Tensor, "n 1 d h w"]


def occupied(x: np.ndarray, source: str) -> UInt8[Tensor, "n 1 d h w"]:
    """Shapes ``[n, d, h, w]``, ``[n, 1, d, h, w]``, ``[d, h, w]``, or packed cubes ``[n, side³ / 8]``, as 0 and 1.

    A voxel is occupied where its value is in the upper half of the array's range.

    Raises:
        InputError: Another shape, values that are not finite numbers, nothing occupied or everything.
    """
    if x.dtype.kind not in "buif":
        raise InputError(f"{source}: expected numbers, got type {x.dtype}")
    side = round((8 * x.shape[1]) ** (1 / 3)) if x.ndim == 2 and x.dtype == np.uint8 else 0
    if side >= 8 and side**3 == 8 * x.shape[1]:
        x = np.unpackbits(x, axis=1).reshape(-1, side, side, side)
    if x.ndim == 5 and x.shape[1] == 1:
        x = x[:, 0]
    x = x[None] if x.ndim == 3 else x
    if x.ndim != 4 or not x.size:
        raise InputError(
            f"{source}: expected shapes [n, d, h, w], [n, 1, d, h, w] or packed bits [n, side³ / 8], got "
            f"{list(x.shape)}: save occupancy as such an array"
        )
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError(f"{source}: expected finite values, got NaN or infinite ones: repair or remove those shapes")
    low, high = float(x.min()), float(x.max())
    if low == high:
        raise InputError(f"{source}: expected empty and occupied voxels, got the value {low:g} everywhere")
    return torch.from_numpy((x > (low + high) / 2).astype(np.uint8))[:, None]


def coarser(x: UInt8[Tensor, "n 1 d h w"], size: int, source: str) -> UInt8[Tensor, "n 1 d2 h2 w2"]:
    """Shapes at a smaller side; a voxel is occupied where any of its block is, so thin parts survive.

    Raises:
        InputError: The size does not divide the sides.
    """
    if size in (0, x.shape[-1]):
        return x
    if any(side % size for side in x.shape[2:]):
        sides = "×".join(map(str, x.shape[2:]))
        raise InputError(f"{source}: expected --size to divide the sides {sides}, got {size}: give a half or a quarter")
    block = [side // size for side in x.shape[2:]]
    return torch.cat([functional.max_pool3d(part.float(), block).to(torch.uint8) for part in x.split(256)])


def read_binvox(path: Path) -> UInt8[np.ndarray, "d h w"]:
    """A ``.binvox`` file (Patrick Min's format): a header in text, then runs of a value and a count, a byte each.

    Returns:
        Axes x, y, z, with y upwards; the file has them in the order x, z, y.

    Raises:
        InputError: The file is no such file or is cut short.
    """
    try:
        raw = path.read_bytes()
        head, _, body = raw.partition(b"\ndata\n")
        lines = head.decode("ascii").split("\n")
        if not lines[0].startswith("#binvox") or not body:
            raise ValueError("no #binvox header")
        sides = next([int(w) for w in line.split()[1:]] for line in lines if line.startswith("dim"))
        if len(sides) != 3 or min(sides) < 1 or max(sides) > 1024:
            raise ValueError(f"sides {sides}")
        runs = np.frombuffer(body[: len(body) // 2 * 2], np.uint8).reshape(-1, 2)
        if int(runs[:, 1].sum()) != sides[0] * sides[1] * sides[2]:
            raise ValueError(f"{int(runs[:, 1].sum())} voxels for {sides[0]}×{sides[1]}×{sides[2]}")
    except (OSError, ValueError, StopIteration) as error:
        raise InputError(f"{path}: expected a whole .binvox file, got one that cannot be read ({error})") from error
    return np.repeat(runs[:, 0], runs[:, 1]).reshape(sides[0], sides[2], sides[1]).transpose(0, 2, 1)


def write_binvox(x: Bool[np.ndarray, "d h w"], path: Path) -> None:
    """Write one shape in the form that :func:`read_binvox` reads, with axes x, y, z."""
    flat = x.transpose(0, 2, 1).reshape(-1).astype(np.uint8)
    begins = np.flatnonzero(np.diff(flat, prepend=1 - flat[:1]))
    runs = []
    for value, length in zip(flat[begins].tolist(), np.diff(begins, append=len(flat)).tolist()):
        runs += [value, 255] * (length // 255) + ([value, length % 255] if length % 255 else [])
    head = f"#binvox 1\ndim {x.shape[0]} {x.shape[1]} {x.shape[2]}\ntranslate 0 0 0\nscale 1\ndata\n"
    write_atomic(path, head.encode() + bytes(runs))


def read_mat(path: Path) -> np.ndarray:
    """The one array of 3 or 4 dimensions of a MATLAB file, through scipy.

    Raises:
        InputError: scipy is missing, or there is no such array or several.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise InputError(f"{path}: .mat files need scipy: pip install scipy, or save as .npy") from None
    try:
        found = {k: v for k, v in loadmat(str(path)).items() if isinstance(v, np.ndarray) and v.ndim in (3, 4)}
    except _FAILURES as error:
        raise InputError(f"{path}: expected a MATLAB file, got one that cannot be read ({error})") from error
    if len(found) != 1:
        raise InputError(f"{path}: expected one array of shape [d, h, w], got {', '.join(found) or 'none'}")
    return next(iter(found.values()))


def read_mesh(path: Path, size: int) -> UInt8[np.ndarray, "d h w"]:
    """A closed mesh, filled into a cube of voxels of this side with its longest side filling it.

    Raises:
        InputError: trimesh is missing, the file cannot be read, or the mesh is not closed.
    """
    try:
        import trimesh
    except ImportError:
        raise InputError(f"{path}: meshes need trimesh: pip install 'absynth[meshes]', or save voxels") from None
    try:
        mesh: Any = trimesh.load(str(path), force="mesh")
        faces = len(mesh.faces)
    except _FAILURES as error:
        raise InputError(f"{path}: expected a mesh, got one that cannot be read ({error})") from error
    if not faces:
        raise InputError(f"{path}: expected a mesh, got no faces")
    if not mesh.is_watertight:
        raise InputError(
            f"{path}: expected a closed mesh, got one with holes, whose inside is unknown: close it (in Blender: "
            "3D-Print Toolbox, Make Manifold), or save voxels"
        )
    # Centres of voxels are inside or outside: no surface is made thicker than it is, but for parts under one voxel.
    low, high = mesh.bounds
    pitch = float((high - low).max()) / size
    surface = mesh.voxelized(pitch).fill()
    out = np.zeros((size, size, size), np.uint8)
    filled = np.asarray(surface.matrix)[:size, :size, :size]
    begin = [(size - n) // 2 for n in filled.shape]
    out[tuple(slice(b, b + n) for b, n in zip(begin, filled.shape))] = filled
    return out


def read_shape(path: Path, size: int) -> UInt8[Tensor, "n 1 d h w"]:
    """The shapes of one file of :data:`SHAPES`."""
    suffix = path.suffix.lower()
    if suffix in MESHES:
        return occupied(read_mesh(path, size or SIDE), str(path))
    if suffix == ".binvox":
        x = read_binvox(path)
    else:
        x = read_mat(path) if suffix == ".mat" else arrays.load_arrays(path)["arr_0"]
    return coarser(occupied(x, str(path)), size, str(path))


def read_folder(path: Path, size: int) -> tuple[Voxels, listing.Splits]:
    """Every shape of a folder and its sub-folders, whose names are splits and classes as for images.

    Raises:
        InputError: No shapes, a file that cannot be read, or shapes of several sizes.
    """
    found = listing.walk(path, SHAPES)
    if not found.files:
        raise InputError(f"{path}: expected shapes ({', '.join(SHAPES)}) in it or in its sub-folders, got none")
    splits = listing.split_and_class(found)
    shapes = [read_shape(file, size)[:1] for file in splits.files]
    for file, x in zip(splits.files, shapes):
        if x.shape != shapes[0].shape:
            a, b = ("×".join(map(str, v.shape[2:])) for v in (shapes[0], x))
            raise InputError(
                f"expected shapes of one size, got {a} in {splits.files[0]} and {b} in {file}: give --size"
            )
    y = splits.labels()
    return Voxels(
        torch.cat(shapes),
        None if y is None else torch.from_numpy(y).long(),
        splits.class_names if y is not None else (),
        tuple(splits.names),
        tuple(splits.notes),
    ), splits


def read_file(path: Path, size: int) -> Voxels:
    """The shapes of a file: one, or an array of many; in an ``.npz`` every key that is no usual name is a class."""
    if path.suffix.lower() != ".npz":
        return Voxels(read_shape(path, size))
    keys = [key for key in arrays.headers(path) if not arrays.names_labels(key)]
    if any(arrays.names_examples(key) for key in keys) or len(keys) == 1:
        ((x, y), *others) = arrays.splits_of(path, (2, 4, 5)).values()
        if others:
            raise InputError(f"{path}: expected one array of shapes, got one per split: save the training shapes alone")
        return of_arrays(x, y, size, str(path))
    return of_classes(path, keys, size)


def of_arrays(x: np.ndarray, y: Any, size: int, source: str) -> Voxels:
    """An array of shapes, and a class for each or None."""
    shapes = coarser(occupied(x, source), size, source)
    found = None if y is None else labels.number(np.asarray(y), len(shapes), "shape")
    if found is None or not found.names:
        return Voxels(shapes)
    return Voxels(shapes, found.y, found.names, notes=found.notes)


def of_classes(path: Path, keys: Sequence[str], size: int) -> Voxels:
    """Arrays of an ``.npz``, a class each."""
    found = arrays.load_arrays(path, list(keys))
    shapes = [coarser(occupied(found[key], f"{path}, {key}"), size, f"{path}, {key}") for key in keys]
    y = torch.cat([torch.full((len(x),), i) for i, x in enumerate(shapes)])
    return Voxels(torch.cat(shapes), y, tuple(keys))


def modelnet10(size: int, part: Split) -> Voxels:
    """Chairs and monitors of ModelNet10 (Wu et al. 2015) at 32³; about one in ten, by its index, is for testing."""
    path = images.find_root("", "modelnet10") / "modelnet10" / "modelnet10_voxels32.npz"
    if not path.is_file():
        raise InputError(f"expected {path}, found none: set ABSYNTH_DATA to the folder that holds modelnet10/")
    return of_classes(path, ("chair", "monitor"), size).part(part)
