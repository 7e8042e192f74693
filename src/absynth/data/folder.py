"""Images of your own: a folder of files, tars or arrays, or an array in an ``.npz`` or ``.npy`` file or in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from absynth.data import arrays, decode, labels, listing, shards, tars
from absynth.data.arrays import Part, with_channels
from absynth.data.decode import SUFFIXES, DecodedImages, Header, Progress, read_header, read_pictures
from absynth.data.images import Images
from absynth.data.joined import JoinedArray
from absynth.data.members import Member
from absynth.errors import InputError

__all__ = ["SUFFIXES", "Part", "files", "from_array", "images", "open_images"]


@runtime_checkable
class Source(Protocol):
    """Images whose splits share their classes, range and channels."""

    def split(self, part: Part, *, progress: Progress | None = None) -> Images: ...


def images(
    path: Path | str,
    split: Part,
    *,
    size: int = 0,
    channels: int = 0,
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> Images:
    """The images at ``path``; their size, channels and range are found.

    *A folder*: every image in it and in its sub-folders (:mod:`absynth.data.listing` has the rules for splits and
    classes). Transparency is flattened on white, and one colour image makes all of them RGB. Images of 16 bits or
    floats are kept as numbers, with the range of the whole folder, and so are bytes of which none is above 63.

    *A tar, or a folder of tars*: images beside their labels (:func:`absynth.data.tars.listed`), read in place.

    *An array*: see :func:`from_array`. An ``.npz`` may hold its own splits (:func:`absynth.data.arrays.splits_of`).
    A folder may hold many ``.npy`` files (:func:`absynth.data.shards.open_shards`).

    Where the data have no splits of their own, about one image in ten is for testing, chosen by a hash of its name (in
    an array, of its index), so the choice is the same everywhere and stays when images are added.

    Args:
        path: A folder, a ``.tar``, an ``.npz`` or an ``.npy`` file.
        split: "train", "validation", "test", or "all" of it.
        size: Side in pixels; each image's central square is resized to it, with antialiasing. 0 leaves them as found.
        channels: 1 grey, 3 colour; 0 leaves them as found.
        skip_broken: Leave files out that cannot be read, and count them in the notes.
        progress: Called with (images read, images in all).

    Raises:
        InputError: Nothing there, sizes that differ, a file that cannot be read, values that are not numbers.
    """
    source = open_images(path, size=size, channels=channels, skip_broken=skip_broken)
    return source.split(split, progress=progress)


def open_images(path: Path | str, *, size: int = 0, channels: int = 0, skip_broken: bool = False) -> Source:
    """The images at ``path``, to take splits of; arguments as for :func:`images`."""
    path = Path(path).expanduser()
    if size < 0:
        raise InputError(f"expected size 0 (as found) or a number of pixels, got {size}")
    if channels not in (0, 1, 3):
        raise InputError(f"expected --channels 1 (grey), 3 (colour) or 0 (as found), got {channels}")
    if path.is_dir() and _form(path) == "arrays":
        return _arrays(path, lambda: shards.open_shards(path), size, channels)
    if path.is_dir() or tars.is_tar(path):
        return _Folder(path, size, channels, skip_broken)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; expected a folder of images, a .tar, .npz or .npy file")
    if path.suffix.lower() not in (".npz", ".npy"):
        raise InputError(f"expected a folder of images, a .tar, .npz or .npy file, got {path}")
    return _arrays(path, lambda: arrays.splits_of(path, (3, 4)), size, channels)


def _form(path: Path) -> str:
    """Whether a folder holds images as files, tars or arrays; files are looked at first.

    Raises:
        InputError: It holds tars and arrays.
    """
    found = listing.walk(path, SUFFIXES, skip=lambda reason: None)
    if found.files or not (found.others[".tar"] or found.others[".npy"]):
        return "files"
    if found.others[".tar"] and found.others[".npy"]:
        got = f"{found.others['.tar']} .tar and {found.others['.npy']} .npy"
        raise InputError(f"{path}: expected images in files of one form, got {got}: give a folder of either")
    return "tars" if found.others[".tar"] else "arrays"


def _arrays(path: Path, read: Callable[[], shards.Parts], size: int, channels: int) -> _Arrays:
    """Arrays of a path, which errors name."""
    try:
        return _Arrays(read(), path.stem, size, channels)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from error


def from_array(
    x: np.ndarray,
    split: Part,
    *,
    labels: np.ndarray | None = None,
    size: int = 0,
    channels: int = 0,
    name: str = "array",
) -> Images:
    """Images ``[n, H, W]``, ``[n, C, H, W]`` or ``[n, H, W, C]`` with 1, 3 or 4 channels.

    The position of the channels is found by its size; where both fit, 1 or 3 goes before 4, and then the first. Bytes
    have range 0 to 255, but 0 to the largest where none is above 63, as masks and images of 4 bits are; any other
    numbers have the range of the whole array.
    The fourth channel is alpha: bytes are flattened on white; in other numbers its scale is unknown, and it is dropped.

    Args:
        x: The images.
        split: "train", "test" or "all"; about one in ten is for testing, by a hash of the index.
        labels: One per image (:func:`absynth.data.labels.number`).
        size: As in :func:`images`.
        channels: As in :func:`images`.
        name: What the set is called.

    Raises:
        InputError: Wrong shape, no numbers, NaN or infinite values, a constant array, labels that do not fit.
    """
    return open_array(x, labels=labels, size=size, channels=channels, name=name).split(split)


def open_array(
    x: np.ndarray, *, labels: np.ndarray | None = None, size: int = 0, channels: int = 0, name: str = "array"
) -> Source:
    """An array of images, to take splits of; arguments as for :func:`from_array`."""
    return _Arrays({"all": (x, labels)}, name, size, channels)


def files(path: Path | str, split: Part) -> list[Path]:
    """The image files of a split of a folder, in the order of their names; the rules are those of :func:`images`.

    Raises:
        InputError: No such folder, or no images in it.
    """
    path = Path(path).expanduser()
    found = _listed(path)
    if isinstance(found, tars.Splits):
        raise InputError(f"{path}: expected a folder of image files, got tars: unpack them")
    return [found.files[row] for row in found.rows(split)]


def names(path: Path | str) -> list[str]:
    """The name of every image of a folder of files or tars, or of a tar; empty for arrays."""
    path = Path(path).expanduser()
    if not tars.is_tar(path) and (not path.is_dir() or _form(path) == "arrays"):
        return []
    return _listed(path).names


def _listed(path: Path, skip: list[str] | None = None) -> listing.Splits:
    if tars.is_tar(path):
        return tars.listed(path)
    if not path.is_dir():
        raise InputError(f"{path}: expected a folder of images, found none")
    found = listing.walk(path, SUFFIXES, skip=None if skip is None else skip.append)
    if not found.files and any(found.others[suffix] for suffix in tars.TARS):
        return tars.listed(path, skip=None if skip is None else skip.append)
    if not found.files:
        others = ", ".join(f"{suffix} {n}" for suffix, n in found.others.most_common(4))
        raise InputError(
            f"{path}: expected images ({', '.join(SUFFIXES)}) in it or in its sub-folders, got none{others and ': '}"
            f"{others}"
        )
    return listing.split_and_class(found)


class _Folder:
    """Images of a folder, of tars in it, or of a tar."""

    def __init__(self, path: Path, size: int, channels: int, skip_broken: bool) -> None:
        self.path, self.size = path, size
        broken: list[str] = []
        self.found = _listed(path, broken if skip_broken else None)
        self.notes = list(self.found.notes)
        if skip_broken:
            self._leave_broken_out(broken)
        self.headers = self._headers()
        self.channels = channels or max((h.channels for h in self.headers.values()), default=1)
        several = sum(h.pages > 1 for h in self.headers.values())
        if several:
            self.notes.append(f"{several} files hold several pages or frames: the first of each is used")

    def _leave_broken_out(self, broken: list[str]) -> None:
        kept, reasons = decode.readable(self.found.files, size=self.size)
        broken += reasons
        if not kept:
            raise InputError(f"{self.path}: expected images that can be read, got none: {broken[0]}")
        for column in ("files", "names", "part", "classes"):
            values = getattr(self.found, column)
            setattr(self.found, column, [values[i] for i in kept])
        if broken:
            names = ", ".join(Path(reason.partition(":")[0]).name for reason in broken[:5])
            more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
            self.notes.append(f"{len(broken)} files that cannot be read left out ({names}{more})")

    def _headers(self) -> dict[int, Header]:
        """Of every file that has a header that can be read; decoding the others raises."""

        def header(path: Path | Member) -> Header | None:
            try:
                return read_header(path)
            except InputError:
                return None

        with ThreadPoolExecutor() as pool:
            found = dict(enumerate(pool.map(header, self.found.files)))
        known = {i: h for i, h in found.items() if h is not None}
        try:
            for i, one in known.items():
                first = next(iter(known))
                shapes = [(1, 1), (1, 1)] if self.size else [(h.height, h.width) for h in (known[first], one)]
                decode.require_same(
                    self.found.files[first], shapes[0], known[first].deep, self.found.files[i], shapes[1], one.deep
                )
        except decode.SizesDiffer as error:
            raise decode.SizesDiffer(str(error), *_typical(list(known.values()))) from None
        return known

    def _bytes(self, rows: np.ndarray) -> int:
        one = next(iter(self.headers.values()), None)
        if one is None:
            return 0
        pixels = self.size**2 if self.size else one.height * one.width
        return len(rows) * self.channels * pixels * (4 if one.deep else 1)

    def split(self, part: Part, *, progress: Progress | None = None) -> Images:
        """The images of a split."""
        rows = self.found.rows(part)
        paths = [self.found.files[row] for row in rows]
        x: Tensor | DecodedImages
        if self._bytes(rows) > decode.IN_MEMORY:
            x = DecodedImages(paths, size=self.size, channels=self.channels)
        else:
            x = with_channels(read_pictures(paths, size=self.size, progress=progress), self.channels)
        low, high = 0.0, 255.0
        if x.dtype != torch.uint8:
            low, high = self._range()
        elif part != "all" and isinstance(x, Tensor) and len(x) and (x.max() <= arrays.DARK or x.min() == x.max()):
            low, high = arrays.range_of_bytes(*self._range())  # any other split has 0 to 255
        y = self.found.labels()
        return Images(
            x,
            None if y is None else torch.from_numpy(y[rows]).long(),
            self.path.resolve().name or "folder",
            low,
            high,
            self.found.class_names if y is not None else (),
            tuple(self.notes),
            tuple(self.found.names[row] for row in rows),
        )

    def _range(self) -> tuple[float, float]:
        """Smallest and largest value of all splits of a folder."""
        with ThreadPoolExecutor() as pool:
            pairs = list(pool.map(_extremes, self.found.files, [self.size] * len(self.found.files)))
        low, high = min(low for low, _ in pairs), max(high for _, high in pairs)
        if low == high:
            raise InputError(f"{self.path}: expected images that vary, got one value everywhere: {low:g}")
        return low, high


def _typical(headers: Sequence[Header]) -> tuple[tuple[int, int, int], str]:
    """Channels and the median shorter side of images of several sizes, and their sizes in words."""
    side = sorted(min(h.height, h.width) for h in headers)[len(headers) // 2]
    small, large = (pick(headers, key=lambda h: (h.width * h.height, h.width)) for pick in (min, max))
    words = f"{small.width}×{small.height} to {large.width}×{large.height}"
    return (max(h.channels for h in headers), side, side), words


def _extremes(path: Path | Member, size: int) -> tuple[float, float]:
    pixels = decode.read_picture(path, size=size)
    return float(pixels.min()), float(pixels.max())


class _Arrays:
    """Arrays of images, one per split, or one of which splits are taken."""

    def __init__(
        self,
        parts: Mapping[str, tuple[np.ndarray | JoinedArray, np.ndarray | None]],
        name: str,
        size: int,
        channels: int,
    ) -> None:
        self.name, self.size, self.channels = name, size, channels
        checked = {part: arrays.images_of(x) for part, (x, _) in parts.items()}
        self.x = {part: x for part, (x, _, _) in checked.items()}
        shapes = {(x.shape[1:], x.dtype) for x in self.x.values()}
        if len(shapes) > 1:
            got = ", ".join(f"{part} {list(x.shape[1:])} {x.dtype}" for part, x in self.x.items())
            raise InputError(f"expected images of one shape and type in every split, got {got}")
        self.low = min(low for _, low, _ in checked.values())
        self.high = max(high for _, _, high in checked.values())
        self.y, self.class_names, self.notes = self._labels({part: y for part, (_, y) in parts.items()})

    def _labels(self, given: dict[str, np.ndarray | None]) -> tuple[dict[str, Tensor], tuple[str, ...], tuple]:
        if all(y is None for y in given.values()):
            return {}, (), ()
        columns = []
        for part, y in given.items():
            n = len(self.x[part])
            own: np.ndarray = np.full(n, -1) if y is None else np.asarray(y)
            if own.shape[:1] != (n,):
                raise labels.misfit(own, n, "image")
            columns.append(own.reshape(n) if own.shape == (n, 1) else own)
        found = labels.number(np.concatenate(columns), sum(map(len, columns)), "image")
        if not found.names:
            return {}, (), found.notes
        sizes = [len(column) for column in columns]
        return dict(zip(given, found.y.split(sizes))), found.names, found.notes

    def split(self, part: Part, *, progress: Progress | None = None) -> Images:
        """The images of a split."""
        if "all" in self.x or ("train" in self.x and len(self.x) == 1):
            key = next(iter(self.x))
            rows = listing.split_by_name(range(len(self.x[key])), part)
            return self._images(key, rows)
        if part == "all":
            each = [self._images(key, np.arange(len(x))) for key, x in self.x.items()]
            y = torch.cat([one.labels for one in each]) if self.y else None  # type: ignore[misc]
            return Images(
                torch.cat([one.tensor() for one in each]),
                y,
                self.name,
                self.low,
                self.high,
                self.class_names,
                self.notes,
            )
        if part == "test" and "test" not in self.x:
            part = "validation"
        if part not in self.x:
            raise InputError(f"the file has no {part} split (it has {', '.join(self.x)}): give --validation 0.1")
        return self._images(part, np.arange(len(self.x[part])))

    def _images(self, key: str, rows: np.ndarray) -> Images:
        x = self.x[key]
        found = arrays.stored(x, rows, size=self.size, channels=self.channels)
        y = self.y[key][torch.from_numpy(rows)] if self.y else None
        return Images(found, y, self.name, self.low, self.high, self.class_names, self.notes)
