"""Image files to arrays: bytes stay bytes, 16-bit and float images stay numbers, large folders are decoded late."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BufferedReader
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from PIL import Image, ImageFile, ImageOps
from torch import Tensor

from absynth.data.members import Member
from absynth.errors import InputError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm", ".tga", ".jp2", ".avif",
)  # fmt: skip
"""Suffixes of image files, in lower case."""

IN_MEMORY = 1 << 30
"""Bytes of decoded images that are held in memory; of larger folders, so many bytes are cached."""

Progress = Callable[[int, int], None]
"""Called with (images read, images in all)."""

_CHUNK = 256  # images in flight at once: bounds memory, and an error need not wait for the rest of the folder
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # modes of images with more than 8 bits
_FAILURES = Exception  # decoders raise all kinds on damaged files
_LARGEST = 1e30  # squares of larger numbers do not fit into float32


class SizesDiffer(InputError):
    """Images that are not squares of one size, where no size is given.

    Args:
        message: What to tell.
        shape: Channels and, twice, the shorter side of a typical image; 0 where it is not known.
        found: The sizes, one phrase.
    """

    def __init__(self, message: str, shape: tuple[int, int, int] = (3, 0, 0), found: str = "") -> None:
        super().__init__(message)
        self.shape, self.found = shape, found


class Header(NamedTuple):
    """What a file says of its image before it is decoded."""

    width: int
    height: int
    channels: int
    deep: bool
    """More than 8 bits per value."""
    pages: int
    """How many images the file holds; 2 stands for several of an animation."""


def read_picture(
    path: Path | Member, *, crop: int = 0, size: int = 0
) -> UInt8[np.ndarray, "C H W"] | Float32[np.ndarray, "1 H W"]:
    """One image, grey or RGB; transparency is flattened on white, images of 16 bits or floats are kept as float32.

    Args:
        path: Any format that Pillow reads, in a file or a tar; of an animation, the first frame.
        crop: Side in pixels of the central square that is kept; 0 takes the largest there is. Used with ``size``.
        size: Side in pixels after resizing with antialiasing; 0 leaves the image whole.

    Raises:
        InputError: The file cannot be read, or is smaller than ``crop``.
    """
    try:
        with Image.open(_source(path)) as opened:
            _refuse_deep_colour(opened)
            picture = _grey_or_rgb(ImageOps.exif_transpose(opened))
    except _FAILURES as error:
        raise _unreadable(path, error) from error
    if size:
        width, height = picture.size
        side = crop or min(width, height)
        if side > min(width, height):
            raise InputError(f"{path}: expected at least {side}×{side} pixels, got {width}×{height}")
        left, top = (width - side) // 2, (height - side) // 2
        # Cropped first: resize's own box lets the filter see pixels beyond the box.
        picture = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    if pixels.dtype == np.float32 and not (np.abs(pixels) < _LARGEST).all():
        raise InputError(f"{path}: expected finite values below {_LARGEST:g}, got others: repair or remove it")
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def read_header(path: Path | Member) -> Header:
    """Size and mode of an image without its pixels.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with Image.open(_source(path)) as opened:
            _refuse_deep_colour(opened)
            width, height = opened.size
            if opened.getexif().get(0x0112, 1) >= 5:  # turned by a quarter
                width, height = height, width
            deep = opened.mode in _DEEP
            grey = deep or opened.mode in ("1", "L", "LA", "La")
            moving = getattr(opened, "is_animated", False)
            pages = getattr(opened, "n_frames", 1) if opened.format == "TIFF" else 1 + bool(moving)
            return Header(width, height, 1 if grey else 3, deep, pages)
    except _FAILURES as error:
        raise _unreadable(path, error) from error


def read_pictures(
    paths: Sequence[Path | Member], *, crop: int = 0, size: int = 0, progress: Progress | None = None
) -> Shaped[Tensor, "n C H W"]:
    """Many images, several at a time. One colour image makes all of them RGB.

    Raises:
        InputError: A file that cannot be read, two images of different sizes while ``size`` is 0, or of 8 and 16 bits.
    """
    out = np.empty((0, 1, 0, 0), np.uint8)
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
        for begin in range(0, len(paths), _CHUNK):
            read = pool.map(partial(read_picture, crop=crop, size=size), paths[begin : begin + _CHUNK])
            for i, picture in enumerate(read, begin):
                if i == 0:
                    out = np.empty((len(paths), *picture.shape), picture.dtype)
                require_same(paths[0], out.shape[2:], out.dtype, paths[i], picture.shape[1:], picture.dtype)
                if len(picture) > len(out[i]):
                    out = np.repeat(out, len(picture), axis=1)
                out[i] = picture
                if progress is not None:
                    progress(i + 1, len(paths))
    return torch.from_numpy(out)


def readable(
    paths: Sequence[Path | Member], *, size: int = 0, crop: int = 0, pixels: bool = True
) -> tuple[list[int], list[str]]:
    """Numbers of the files that can be read, and a reason for each of the others; none is held in memory.

    Args:
        paths: The files.
        size: As in :func:`read_picture`.
        crop: As in :func:`read_picture`.
        pixels: Whether to decode them; else only their headers are read.
    """

    def reason(path: Path | Member) -> str:
        try:
            read_picture(path, size=size, crop=crop) if pixels else read_header(path)
        except InputError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(reason, paths))
    return [i for i, why in enumerate(reasons) if not why], [why for why in reasons if why]


class DecodedImages:
    """Images of a folder or of tars too large for memory: decoded by threads when a minibatch asks for them.

    Args:
        paths: The files.
        size: Side in pixels, as in :func:`read_picture`.
        channels: 1 or 3; grey images become RGB where it is 3.
        cache: Bytes of decoded images that are kept, the last used ones.

    Raises:
        InputError: A file cannot be read, or two differ in size or depth.
    """

    def __init__(
        self, paths: Sequence[Path | Member], *, size: int = 0, channels: int = 0, cache: int = IN_MEMORY
    ) -> None:
        self.paths, self.size, self.cache = list(paths), size, cache
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._bytes = 0
        with ThreadPoolExecutor() as pool:
            headers = list(pool.map(read_header, self.paths))
        first = headers[0]
        if not size:
            for path, other in zip(self.paths, headers):
                shapes = (first.height, first.width), (other.height, other.width)
                require_same(self.paths[0], shapes[0], first.deep, path, shapes[1], other.deep)
        channels = channels or max(h.channels for h in headers)
        height, width = (size, size) if size else (first.height, first.width)
        self.shape = torch.Size((len(self.paths), channels, height, width))
        self.dtype = torch.float32 if first.deep else torch.uint8

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Tensor | slice) -> Shaped[Tensor, "b C H W"]:
        index = torch.arange(len(self))[index] if isinstance(index, slice) else index
        rows = index.tolist()
        missing = [i for i in dict.fromkeys(rows) if i not in self._kept]
        with ThreadPoolExecutor() as pool:
            for i, picture in zip(missing, pool.map(self._decode, missing)):
                self._kept[i] = picture
                self._bytes += picture.nbytes
        out = torch.from_numpy(np.stack([self._kept[i] for i in rows]))
        for i in rows:
            self._kept.move_to_end(i)
        while self._bytes > self.cache and self._kept:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return out

    def _decode(self, i: int) -> np.ndarray:
        picture = read_picture(self.paths[i], size=self.size)
        require_same(
            self.paths[i], tuple(self.shape[2:]), self.dtype == torch.float32,
            self.paths[i], picture.shape[1:], picture.dtype == np.float32,
        )  # fmt: skip
        return np.repeat(picture, 3, axis=0) if len(picture) < self.shape[1] else picture

    def take(self, rows: Tensor) -> DecodedImages:
        """Some of the images, in this order."""
        found = object.__new__(DecodedImages)
        found.__dict__.update(self.__dict__, paths=[self.paths[i] for i in rows.tolist()], _kept=OrderedDict())
        found._bytes, found.shape = 0, torch.Size((len(found.paths), *self.shape[1:]))
        return found


def require_same(
    path: Path | Member, shape: tuple, depth: object, other: Path | Member, found: tuple, its_depth: object
) -> None:
    if tuple(shape) != tuple(found):
        raise SizesDiffer(
            f"expected images of one size, got {shape[1]}×{shape[0]} in {path} and {found[1]}×{found[0]} in {other}: "
            "--size N resizes"
        )
    if depth != its_depth:
        raise InputError(
            f"expected images of one depth, got 8 bits and more in {path} and {other}: convert one of them"
        )


def _source(path: Path | Member) -> Path | BufferedReader:
    """What Pillow opens."""
    if isinstance(path, Member):
        return path.open()
    if not S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
        raise ValueError("it is no regular file")
    return path


def _refuse_deep_colour(opened: ImageFile.ImageFile) -> None:
    """Pillow cuts colour of 16 bits to 8 without a word; a dark image would become black."""
    if opened.mode not in _DEEP and opened.fp is not None and _bits(opened) > 8:
        raise ValueError("16 bits per colour are not supported, save 8 bits, or numbers as .npy")


def _bits(opened: ImageFile.ImageFile) -> int:
    """Bits per value as the file's header says."""
    place = opened.fp.tell()
    opened.fp.seek(0)
    head = opened.fp.read(4096)
    opened.fp.seek(place)
    if opened.format == "PNG":
        return head[24]
    if opened.format == "TIFF":
        bits = opened.tag_v2.get(258, 8)  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else bits
    if opened.format == "PPM":
        words = re.sub(rb"#[^\n]*\n", b"\n", head).split(None, 4)  # P6, width, height, largest value
        return int(words[3]).bit_length() if words[0] in (b"P3", b"P6") else 8
    if opened.format == "JPEG2000":
        sizes = head.find(b"\xff\x51")
        return (head[sizes + 40] & 0x7F) + 1 if 0 <= sizes < len(head) - 40 else 8
    return 8


def _grey_or_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in _DEEP:
        return Image.fromarray(np.asarray(picture).astype(np.float32))
    grey = picture.mode in ("1", "L", "LA", "La")
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("L" if grey else "RGB")


def _unreadable(path: Path | Member, error: Exception) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{path}: expected an image, got a file that cannot be read ({reason}): repair or remove it")
