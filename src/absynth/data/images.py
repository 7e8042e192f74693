"""Images of published sets, each read by a few lines of our own: ``reader(root, split) -> Images``.

A reader never downloads and never unpickles. ``root`` is a folder of data sets (see :func:`find_root`); the files lie
in the set's own folder in it, or in ``root`` itself.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from PIL import Image
from torch import Tensor

from absynth.data.arrays import ArrayRows, load_arrays
from absynth.data.decode import DecodedImages, read_pictures
from absynth.errors import InputError
from absynth.seeding import stream

Split = Literal["train", "test"]

Stored = Tensor | ArrayRows | DecodedImages
"""Where images are: in memory, in an array that is read in place, or in files."""


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Images as they were stored, handed out in [-1, 1].

    Bytes stay bytes until a batch is read, so a set takes a quarter of the memory.
    """

    x: Stored
    """``[n, C, H, W]``, bytes or floats."""
    labels: Int64[Tensor, "n"] | None
    name: str
    low: float = 0.0
    """The stored value that becomes −1."""
    high: float = 255.0
    """The stored value that becomes 1."""
    class_names: tuple[str, ...] = ()
    """Name of each label, where the data have names."""
    notes: tuple[str, ...] = ()
    """What was left out and why."""
    names: tuple[str, ...] = ()
    """Name of each image's file, where it has one."""

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        _, channels, height, width = self.x.shape
        values = "" if (self.low, self.high) == (0.0, 255.0) else f", values {self.low:g} to {self.high:g}"
        labels = "" if self.labels is None else ", labelled"
        return (
            f"Images({self.name}: {len(self)} of {width}×{height}, "
            f"{channels} channel{'s' if channels > 1 else ''}{values}{labels})"
        )

    def batch(self, index: Int64[Tensor, "b"]) -> Float32[Tensor, "b C H W"]:
        """The images at ``index``, float32 in [-1, 1]; bytes become x / 127.5 − 1."""
        # Arithmetic on floats is done in float64: there (high − low) / half is exactly 2, so nothing leaves [-1, 1].
        x = self.x[index]
        x = x.float() if x.dtype == torch.uint8 else x.double()
        return ((x - self.low) / ((self.high - self.low) / 2) - 1).float()

    def all(self) -> Float32[Tensor, "n C H W"]:
        """Every image, float32 in [-1, 1]."""
        return self.batch(torch.arange(len(self)))

    def tensor(self) -> Tensor:
        """Every image as it is stored, in memory."""
        return self.x if isinstance(self.x, Tensor) else self.x[torch.arange(len(self))]

    def take(self, rows: Int64[Tensor, "m"]) -> Images:
        """Some of the images, in this order."""
        x = self.x[rows] if isinstance(self.x, Tensor) else self.x.take(rows)
        names = tuple(self.names[i] for i in rows.tolist()) if self.names else ()
        return replace(self, x=x, labels=None if self.labels is None else self.labels[rows], names=names)


def find_root(data: str, name: str) -> Path:
    """The folder of data sets: ``data`` if it is given, else $ABSYNTH_DATA, else ~/.cache/absynth/data.

    Args:
        data: what the user gave as ``--data``, or "".
        name: the set that is wanted, for the message.

    Raises:
        InputError: no such folder; the message says every place that was looked in.
    """
    variable = os.environ.get("ABSYNTH_DATA", "")
    cache = Path.home() / ".cache" / "absynth" / "data"
    place = Path(data or variable or cache).expanduser()
    if place.is_dir():
        return place
    looked = [f"--data {data}"] if data else [f"ABSYNTH_DATA={variable}" if variable else "ABSYNTH_DATA (not set)"]
    looked += [] if data or variable else [str(cache)]
    raise InputError(
        f"expected a folder of data sets that holds {name}, found none: looked in {' and '.join(looked)}; "
        "give --data FOLDER or set ABSYNTH_DATA"
    )


def mnist(root: Path, split: Split) -> Images:
    """MNIST (LeCun et al. 1998): 60,000 + 10,000 digits, 28×28 grey, from the four idx files, gzipped or not."""
    return _idx_pair(root, "mnist", split)


def fashion_mnist(root: Path, split: Split) -> Images:
    """Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 garments, 28×28 grey, files named as MNIST's."""
    return _idx_pair(root, "fashion_mnist", split)


def svhn(root: Path, split: Split) -> Images:
    """Street view house numbers (Netzer et al. 2011), 32×32 colour, labels 0 to 9.

    Reads the official ``{train,test}_32x32.mat``, in which the digit 0 has label 10; else our small subset of other
    crops, whose name then says so.
    """
    official, subset = f"{split}_32x32.mat", "svhn_fullnumber_crops_subset.npz"
    path = _find(root, ("svhn",), (official, subset), f"svhn ({split})")
    if path.name == subset:
        arrays = load_arrays(path)
        x, y, name = arrays[f"X_{split}"].transpose(0, 3, 1, 2), arrays[f"y_{split}"], "svhn_subset"
    else:
        from scipy.io import loadmat  # half a second, and only this set needs it

        try:
            arrays = loadmat(path, variable_names=["X", "y"])
            x, y, name = arrays["X"].transpose(3, 2, 0, 1), arrays["y"].reshape(-1) % 10, "svhn"
        except (
            ValueError,
            KeyError,
            TypeError,
            NotImplementedError,
            OSError,
            EOFError,
            zlib.error,
            MemoryError,
        ) as error:
            raise InputError(
                f"{path}: expected X and y of the official svhn file, got {_line(error)}: download it again"
            ) from error
    return Images(_tensor(x), _tensor(y).long(), name)


def cifar10(root: Path, split: Split) -> Images:
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 pictures, 32×32 colour, ten classes.

    Reads the official binary version (``data_batch_N.bin``, never the pickled one); else our JPEG copy, which is lossy
    and whose name then says so.
    """
    folders = ("cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin")
    official = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    packed, what = f"cifar10_{split}_jpeg.npz", f"cifar10 ({split}, binary version)"
    first = _find(root, folders, (*official, packed), what)
    if first.name == packed:
        return _cifar10_jpeg(first)
    record = 1 + 3 * 32 * 32
    parts = []
    for path in [_find(root, folders, (name,), what) for name in official]:
        part = np.fromfile(path, np.uint8)
        if not part.size or part.size % record:
            raise InputError(
                f"{path}: expected records of {record} bytes (label, 3×32×32), got {part.size} bytes: download it again"
            )
        parts.append(part.reshape(-1, record))
    rows = np.concatenate(parts)
    return Images(_tensor(rows[:, 1:].reshape(-1, 3, 32, 32)), _tensor(rows[:, 0]).long(), "cifar10")


def celeba(root: Path, split: Split) -> Images:
    """CelebA (Liu et al. 2015): aligned faces, the central 140×140 resized to 64×64 colour.

    Reads the jpgs of ``img_align_celeba``. Split by ``list_eval_partition.txt`` where it is there (0 is train, 2 is
    test; 1, validation, is left out); else the last 10 % by name are the test set.
    """
    places = [root / "celeba" / "img_align_celeba", root / "img_align_celeba"]
    folder = next((place for place in places if place.is_dir()), None)
    files = sorted(folder.glob("*.jpg")) if folder else []
    if folder is None or not files:
        raise InputError(
            f"celeba not found: expected jpgs in {_either(places)}; put them there, or point ABSYNTH_DATA or --data at "
            "the folder that holds img_align_celeba"
        )
    partition = folder.parent / "list_eval_partition.txt"
    if partition.is_file():
        part = dict(line.split()[:2] for line in partition.read_text().splitlines() if len(line.split()) >= 2)
        chosen = [file for file in files if part.get(file.name) == {"train": "0", "test": "2"}[split]]
    else:
        held = max(1, len(files) // 10)
        chosen = files[:-held] if split == "train" else files[-held:]
    if not chosen:
        raise InputError(
            f"celeba ({split}): expected pictures of this split, got none among the {len(files)} in {folder}"
        )
    return Images(read_pictures(chosen, crop=140, size=64), None, "celeba")


def digits(root: Path, split: Split) -> Images:
    """The 1,797 handwritten digits that scikit-learn carries (Alpaydin and Kaynak 1998), 8×8 grey: nothing to download.

    Values 0 to 16 become 0 to 255. A fifth of each class is the test set, by a fixed permutation. ``root`` is there so
    that every reader is called alike.
    """
    from sklearn.datasets import load_digits  # a second, and only this set needs it

    values, target = load_digits(return_X_y=True)
    x = torch.as_tensor(values).mul(255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8)
    labels = torch.as_tensor(target).long()
    rng = stream(1797)
    held = torch.zeros(len(x), dtype=torch.bool)
    for digit in range(10):
        rows = (labels == digit).nonzero()[:, 0]
        held[rows[torch.randperm(len(rows), generator=rng)[: round(len(rows) / 5)]]] = True
    keep = held if split == "test" else ~held
    return Images(x[keep], labels[keep], "digits")


def _cifar10_jpeg(path: Path) -> Images:
    arrays = load_arrays(path)
    prefix, jpeg, offsets = arrays["prefix"].tobytes(), arrays["jpeg"].tobytes(), arrays["offsets"].tolist()
    x = np.empty((len(offsets) - 1, 32, 32, 3), np.uint8)
    for i, (begin, end) in enumerate(pairwise(offsets)):
        x[i] = np.asarray(Image.open(BytesIO(prefix + jpeg[begin:end])))
    return Images(_tensor(x.transpose(0, 3, 1, 2)), _tensor(arrays["labels"]).long(), "cifar10_jpeg")


def _idx_pair(root: Path, name: str, split: Split) -> Images:
    prefix = {"train": "train", "test": "t10k"}[split]
    x, labels = (
        _idx(_find(root, (name,), (f"{prefix}-{kind}-idx{n}-ubyte", f"{prefix}-{kind}-idx{n}-ubyte.gz"), name), n)
        for kind, n in (("images", 3), ("labels", 1))
    )
    if len(x) != len(labels):
        raise InputError(
            f"{name} ({split}): expected a label a picture, got {len(x)} pictures and {len(labels)} labels"
        )
    return Images(_tensor(x)[:, None], _tensor(labels).long(), name)


def _idx(path: Path, ndim: int) -> np.ndarray:
    """An idx file: two zero bytes, the type (8: uint8), the number of sizes, the sizes as big-endian uint32, data."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: expected a gzipped file, got one that cannot be read ({_line(error)}): download it again"
        ) from error
    head = 4 + 4 * ndim
    if raw[:4] != bytes([0, 0, 8, ndim]) or len(raw) < head:
        raise InputError(f"{path}: expected an idx file of bytes with {ndim} sizes, got first bytes {raw[:4].hex()}")
    shape = np.frombuffer(raw[4:head], ">u4").astype(int)
    if len(raw) - head != shape.prod():
        raise InputError(f"{path}: expected {shape.prod()} values, got {len(raw) - head}: download it again")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def _find(root: Path, folders: Sequence[str], names: Sequence[str], what: str) -> Path:
    """The first file there is, names before places."""
    places = [*(root / folder for folder in folders), root]
    for name in names:
        for place in places:
            if (place / name).is_file():
                return place / name
    raise InputError(
        f"{what} not found: expected {_either(names)} in {_either(places)}; put it there, or point ABSYNTH_DATA or "
        "--data at the folder that holds it"
    )


def _either(things: Sequence[object]) -> str:
    return " or ".join(map(str, things))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, order="C"))  # a copy: some of these arrays are read-only views
