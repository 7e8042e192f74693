"""The kind of data of a file, a folder, an array or a DataFrame, found without reading all of it."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from absynth.data import arrays, listing, shards, smiles, tars, tracks
from absynth.data.clips import ANIMATIONS, FILMS, frames_of
from absynth.data.decode import SUFFIXES
from absynth.data.frames import is_missing
from absynth.data.layouts import is_number
from absynth.data.voxels import MESHES, SHAPES
from absynth.errors import InputError

_LINES = 50
_BANDS = 16  # narrower than any clip
_FRAMES = {"frames", "clip", "clips", "video", "videos"}
"""Names of arrays that hold clips, whatever their shape."""
_TEXTS = (".txt", ".csv", ".tsv", ".ndjson", ".txt.gz", ".csv.gz", ".tsv.gz")
_FORMS = (
    "an image (.png .jpg ...), images in a .tar, a table (.csv .tsv .parquet), arrays (.npz .npy), text (.txt), "
    "smiles (.smi .csv), tracks (.txt .csv .ndjson), video (.mp4 .gif ...), voxels (.binvox .mat .stl .obj ...) or "
    "points (.ply .xyz)"
)
"""Files whose kind is found by their suffix, in words."""
_WAYS = {
    **dict.fromkeys((".zip", ".rar", ".7z", ".bz2", ".xz", ".zst"), "unpack it"),
    **dict.fromkeys((".json", ".jsonl"), "save its texts as .txt, a line each, or its numbers as .csv"),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".h5", ".hdf5", ".dcm"), "save its arrays as .npz"),
    **dict.fromkeys((".feather", ".arrow", ".xls", ".arff", ".parq", ".db"), "save it as .csv or .parquet"),
    **dict.fromkeys((".sdf", ".mol", ".mol2"), "save its molecules as SMILES, a line each"),
}  # fmt: skip
"""What to do with files of other kinds."""
_NAMES = "image, table, text, smiles, tracks, video, voxels or points"
_BY_SUFFIX = {
    ".smi": "smiles", ".smiles": "smiles", ".parquet": "table", ".pq": "table", ".xlsx": "table",
    ".npy": "array", ".npz": "array", ".ndjson": "tracks", ".ply": "points", ".xyz": "points", ".binvox": "voxels",
    ".mat": "voxels", ".tar": "image", ".tgz": "image", **dict.fromkeys(MESHES, "voxels"),
    **dict.fromkeys(FILMS, "video"),
}  # fmt: skip


def kind_of(source: Any) -> str:
    """The kind of data of a source.

    Args:
        source: An existing path, an array, a pair ``(x, y)`` of arrays, or a DataFrame.

    Raises:
        InputError: It cannot be found; the message says what was looked for and which ``--kind`` to give.
    """
    if isinstance(source, Path):
        return _of_folder(source) if source.is_dir() else _of_file(source)
    if isinstance(source, tuple):
        if len(source) != 2:
            raise InputError(f"expected a pair (x, y) of examples and labels, got a tuple of {len(source)}: give two")
        source = source[0]
    if hasattr(source, "columns") and hasattr(source, "dtypes"):
        return "table"
    try:
        array = np.asarray(source)
        if source is None or isinstance(source, dict):
            raise TypeError("give an array, or pandas.DataFrame of the columns")
    except (ValueError, TypeError) as error:
        reason = "examples of several shapes: give one shape" if "inhomogeneous" in str(error) else error
        got = type(source).__name__
        raise InputError(f"expected an array, a DataFrame or a path, got {got} ({reason})") from None
    kind = _of_shape(array.shape, array.dtype, "the array")
    if kind == "text":
        if array.dtype.kind == "O":
            _require_words(array)
        return "smiles" if smiles.looks_like_smiles([str(line) for line in array[:_LINES]]) else kind
    return kind


def _require_words(array: np.ndarray) -> None:
    """Raise an InputError unless a list holds text, whose lines may be missing."""
    for value in array:
        if not isinstance(value, str | bytes) and not is_missing(value):
            way = "pandas.DataFrame(rows)" if isinstance(value, dict) else "one line of text each"
            raise InputError(f"expected numbers or lines of text, got a list of {type(value).__name__}: give {way}")


def _of_shape(shape: tuple[int, ...], dtype: np.dtype, what: str) -> str:
    if dtype.names or (dtype.kind in "USO" and len(shape) == 2):
        return "table"
    if dtype.kind in "USO" and len(shape) == 1:
        return "text"
    if dtype.kind not in "buif":
        way = "give it by .toarray() if it is sparse, or as numbers"
        raise InputError(f"expected numbers or lines of text in {what}, got type {dtype}: {way}")
    kinds = {2: "table", 3: "image", 4: "image", 5: "video"}
    if len(shape) not in kinds:
        raise InputError(
            f"expected {what} of shape [rows, columns] (table) or [n, height, width] or [n, channels, height, width] "
            f"(images), [n, frames, height, width(, channels)] (video) or [n, side, side, side] (voxels), got "
            f"{list(shape)}: give --kind"
        )
    if len(shape) == 3 and shape[2] == 3 and shape[1] > 64:
        return "points"
    channels = (1, 3, 4)
    if len(shape) in (4, 5) and len({*shape[-3:]}) == 1 and shape[-1] not in channels and shape[1:-3] in ((), (1,)):
        return "voxels"
    if len(shape) == 4 and shape[1] not in channels and shape[3] not in channels:
        _require_clips(shape, what)
        return "video"
    return kinds[len(shape)]


def _require_clips(shape: tuple[int, ...], what: str) -> None:
    """Refuse arrays of images in an unusual order, or with several bands, that could pass for grey clips."""
    n, height, width, last = shape
    if n == height and width in (1, 3, 4):
        raise InputError(
            f"expected {what} with the examples first, got {list(shape)}, which has them last: give "
            "np.moveaxis(x, 3, 0)"
        )
    if height == width != last and last < _BANDS:
        raise InputError(
            f"expected images of 1, 3 or 4 channels, got {last} in {what} of shape {list(shape)}: choose some of them, "
            "or give --kind video if they are clips"
        )


def _of_folder(folder: Path) -> str:
    found = listing.walk(folder, (*SUFFIXES, *_TEXTS), skip=lambda reason: None)
    texts = [file for file in found.files if file.name.lower().endswith(_TEXTS) and file.is_file()]
    images = sum(not file.name.lower().endswith(_TEXTS) for file in found.files)
    moving = sum(suffix in FILMS for suffix in found.others.elements())
    if moving and moving >= images:
        return "video"
    shapes = sum(suffix in SHAPES and suffix != ".npy" for suffix in found.others.elements())
    if shapes > images + len(texts):
        return "voxels"
    if images and images >= len(texts):
        gifs = [file for file in found.files if file.suffix.lower() == ".gif"]
        return "video" if 2 * len(gifs) >= images and frames_of(gifs[0]) > 1 else "image"
    if texts and tracks.looks_like_tracks(_first_lines(texts[0])):
        return "tracks"
    if found.others[".ply"] + found.others[".xyz"]:
        return "points"
    if any(found.others[suffix] for suffix in tars.TARS):
        return "image"
    if found.others[".npy"]:
        return _of_folder_of_arrays(folder)
    counts = Counter(file.suffix.lower() for file in found.files) + found.others
    got = ", ".join(f"{n} {suffix or 'without suffix'}" for suffix, n in counts.most_common(6)) or "no files"
    raise InputError(
        f"{folder}: expected images ({', '.join(SUFFIXES[:3])} ...), tracks (.txt .csv), films (.gif .mp4 ...), shapes "
        f"(.binvox .mat .stl ...), clouds (.ply .xyz), arrays (.npy) or tars of images in it, got {got}: give a file "
        "of lines or a table by its own path, or --kind image, tracks, video, voxels, points or pairs"
    )


def _of_folder_of_arrays(folder: Path) -> str:
    """Voxels or points, an example in each array, or images, many in each."""
    files = listing.walk(folder, (".npy",), skip=lambda reason: None).files
    files = [file for file in files if not shards.holds_labels(file)] or files
    shape = shards.header(files[0])[0]
    if len(shape) == 2 and shape[1] == 3:
        return "points"
    if len(shape) in (3, 4) and len({*shape[-3:]}) == 1:
        # The last array of many may be shorter; voxels are all of one shape.
        alike = all(shards.header(file)[0] == shape for file in files)
        return "voxels" if alike else "image"
    channels = (1, 3, 4)
    if (len(shape) == 3 and shape[2] not in channels) or (len(shape) == 4 and {shape[1], shape[3]} & {*channels}):
        return "image"
    raise InputError(
        f"{folder}: expected arrays [side, side, side] (voxels), [n, 3] (points) or [n, height, width] and "
        f"[n, height, width, 3] of many images in it, got {list(shape)} in {files[0].name}: save such arrays, or give "
        "--kind voxels or points"
    )


def _of_file(path: Path) -> str:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    suffix = Path(name).suffix.lower()
    found = _BY_SUFFIX.get(suffix)
    if found == "array":
        return _of_arrays(path)
    if suffix == ".xyz":
        _require_points(path)
    if found:
        return found
    if suffix in SUFFIXES:
        return "video" if suffix in ANIMATIONS and frames_of(path) > 1 else "picture"
    lines = _first_lines(path)
    words = [row for row in (line.replace(",", " ").replace(";", " ").split() for line in lines) if row]
    if tracks.looks_like_tracks(lines):
        return "tracks"
    if smiles.looks_like_smiles(lines):
        return "smiles"
    if suffix in (".csv", ".tsv"):
        return "table"
    if lines and sum(line.lstrip()[:2] in ('{"', '["') for line in lines) > 0.9 * sum(map(bool, lines)):
        raise InputError(f"{path}: expected lines of text, got JSON: {_WAYS['.json']}")
    if suffix in (".txt", ".text", ""):
        numeric = sum(all(is_number(w) for w in row) for row in words if row)
        if words and numeric > 0.9 * len(words) and len({len(row) for row in words}) == 1 and len(words[0]) > 1:
            return "table"
        if suffix or not _is_binary(path):
            return "text"
    way = _WAYS.get(suffix, "rename it")
    raise InputError(f"{path}: expected {_FORMS}, got the suffix {suffix or 'none'}: {way}, or give --kind {_NAMES}")


def _require_points(path: Path) -> None:
    """Raise an InputError unless a file has x, y and z in its lines, after a count and a comment if it has them."""
    lines = _first_lines(path)
    rows = [row for row in (line.replace(",", " ").split() for line in lines) if row and row[0][0] != "#"]
    rows = rows[2:] if rows and len(rows[0]) == 1 and is_number(rows[0][0]) else rows
    if rows and not all(map(is_number, rows[0][:3])):
        if len(rows[0]) > 3 and rows[0][0].isalpha() and all(map(is_number, rows[0][1:4])):
            raise InputError(f"{path}: expected points, got the atoms of a molecule: give its SMILES, or --kind points")
        text = " ".join(rows[0])[:40]
        raise InputError(f"{path}: expected points, x y z in a line, got {text!r}: give --kind text if it is text")


def _of_arrays(path: Path) -> str:
    headers = {n: h for n, h in arrays.headers(path).items() if not arrays.names_labels(n)}
    if not headers:
        raise InputError(f"{path}: expected an array of examples, got none: give --kind")
    if _FRAMES & {n.lower() for n in headers}:
        return "video"
    shape, dtype = max(headers.values(), key=lambda h: float(np.prod(h[0], dtype=np.float64)))
    if dtype.kind not in "buif":
        got = "pickled Python objects, which are never loaded" if dtype.kind == "O" else f"type {dtype}"
        raise InputError(f"{path}: expected an array of numbers, got {got}: save numbers, or text as .txt")
    return _of_shape(shape, dtype, str(path))


def _is_binary(path: Path) -> bool:
    """Whether a file without a suffix is no text: control characters, zero bytes aside those of utf-16."""
    lines = _first_lines(path)
    return any("\ufffd" in line or "\0" in line for line in lines)


def _first_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            raw = gzip.GzipFile(fileobj=file).read(1 << 16) if path.suffix.lower() == ".gz" else file.read(1 << 16)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return re.split(r"\r\n|\n|\r", raw.decode(encoding, "replace"))[:_LINES]
