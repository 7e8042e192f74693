"""Clips of video as bytes: from GIFs, films, arrays, folders of clips and folders of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from PIL import Image, ImageSequence
from torch import Tensor

from absynth.data import arrays, decode, listing
from absynth.errors import InputError

FILMS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
"""Suffixes of files that PyAV reads, in lower case."""
ANIMATIONS = (".gif", ".webp", ".png", ".apng")
"""Suffixes of images that may have several frames, in lower case."""
LARGE, SMALL = 64, 32
"""Clips with a longer side than ``LARGE`` are resized to ``SMALL`` where no size is given."""

_CHUNK = 64  # frames that are resized together
_FAILURES = Exception  # decoders raise all kinds on damaged files


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        x: Frames ``[channels, t, height, width]``, bytes or float32.
        name: Name of its file, or its number.
        rate: Frames per second; 0 if unknown.
        full: Height and width before it was resized.
    """

    x: Shaped[Tensor, "c t h w"]
    name: str
    rate: float = 0.0
    full: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return self.x.shape[1]


def read_clips(path: Path, *, size: int = 0, channels: int = 0) -> tuple[list[Clip], listing.Splits | None]:
    """The clips at a path.

    *A file*: an animated GIF, a film (PyAV), or an array (:func:`clips_of_array`). *A folder*: every animation and film
    in it and in its sub-folders, a clip each; or still images, those of one folder being the frames of one clip in the
    order of the numbers in their names.

    Args:
        path: File or folder.
        size: Side in pixels; the central square of each frame is resized to it. 0 resizes large clips alone.
        channels: 1 grey, 3 colour; 0 leaves them as found.

    Returns:
        The clips, and, for a folder of clips, which split and class each belongs to.

    Raises:
        InputError: Nothing there, a file that cannot be read, clips of mixed sizes or rates.
    """
    if path.is_dir():
        return _read_folder(path, size, channels)
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        (x, _), *others = arrays.splits_of(path, (3, 4, 5)).values()
        if others:
            raise InputError(f"{path}: expected one array of clips, got one per split: save the training clips alone")
        return clips_of_array(x, path.stem, size=size, channels=channels), None
    return same([_read_file(path, path.name, size)], channels), None


def clips_of_array(x: np.ndarray, name: str = "array", *, size: int = 0, channels: int = 0) -> list[Clip]:
    """Clips of an array ``[n, t, h, w]``, ``[n, t, h, w, c]`` or ``[n, c, t, h, w]``; ``[t, h, w(, c)]`` is one clip.

    Raises:
        InputError: Another shape, values that are not finite numbers, or one value everywhere.
    """
    shapes = "[n, t, h, w] (grey), [n, t, h, w, c], [t, h, w] or [t, h, w, c] with 1, 3 or 4 channels"
    colour = x.ndim in (4, 5) and x.shape[-1] in (1, 3, 4)
    if x.ndim == 5 and not colour and x.shape[1] in (1, 3, 4):
        x, colour = np.moveaxis(x, 1, -1), True
    if x.ndim not in (3, 4, 5) or (x.ndim == 5 and not colour):
        raise InputError(f"expected an array of clips {shapes}, got shape {list(x.shape)}")
    if not colour:
        x = x[..., None]
    if x.ndim == 4:
        x = x[None]
    # The checks and the range are those of images: a frame is one.
    frames, low, high = arrays.images_of(x.reshape(-1, *x.shape[2:]), dark=1)  # others may be brighter
    frames = frames.reshape(*x.shape[:2], *frames.shape[1:])  # [n, t, c, h, w]
    found = []
    for i, clip in enumerate(frames):
        pixels = torch.from_numpy(np.ascontiguousarray(clip.astype(np.float32)))
        if (low, high) != (0.0, 255.0):
            pixels = (pixels - low) * (255 / (high - low))
        full = (pixels.shape[2], pixels.shape[3])
        pixels = pixels.round() if frames.dtype == np.uint8 else pixels
        shrunk = torch.cat([shrink(part, size) for part in pixels.split(_CHUNK)])
        as_stored = shrunk.round().to(torch.uint8) if frames.dtype == np.uint8 else shrunk
        found.append(Clip(as_stored.transpose(0, 1).contiguous(), f"{name} {i}", full=full))
    return same(found, channels)


def shrink(frames: Float[Tensor, "t c h w"], size: int) -> Float[Tensor, "t c h2 w2"]:
    """Frames at the given size; 0 makes large ones small and leaves the others."""
    if not size and max(frames.shape[2:]) > LARGE:
        size = SMALL
    return arrays.resize(frames, size) if size and frames.shape[2:] != (size, size) else frames


def same(clips: Sequence[Clip], channels: int = 0) -> list[Clip]:
    """Clips of one size, rate and number of channels: one colour clip makes all of them RGB.

    Raises:
        InputError: Sizes or rates differ.
    """
    for a, b in pairwise(clips):
        if a.x.shape[2:] != b.x.shape[2:]:
            sizes = (f"{v.x.shape[3]}×{v.x.shape[2]} in {v.name}" for v in (a, b))
            raise InputError(f"expected clips of one size, got {' and '.join(sizes)}: give --size to resize all")
        if a.rate and b.rate and abs(a.rate / b.rate - 1) > 0.02:
            raise InputError(
                f"expected clips of one rate, got {a.rate:.4g} frames per second in {a.name} and {b.rate:.4g} in "
                f"{b.name}: convert them to one rate, or train on one of them"
            )
    wanted = channels or max(clip.x.shape[0] for clip in clips)
    return [
        Clip(arrays.with_channels(c.x.transpose(0, 1), wanted).transpose(0, 1).contiguous(), c.name, c.rate, c.full)
        for c in clips
    ]


def write_film(x: Float[Tensor, "c t h w"], file: Path, rate: float) -> None:
    """Write one clip with values in [−1, 1] as a film, through PyAV.

    Raises:
        InputError: PyAV is missing, or it cannot write such a file.
    """
    av = _pyav(file)
    frames = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).expand(3, -1, -1, -1).permute(1, 2, 3, 0)
    frames = frames[:, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2].contiguous().numpy()  # codecs want even sides
    try:
        with av.open(str(file), "w") as film:
            stream = film.add_stream("mpeg4", rate=max(1, round(rate)))
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
            stream.bit_rate = 4_000_000
            for frame in frames:
                film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            film.mux(stream.encode())
    except _FAILURES as error:
        raise InputError(
            f"{file}: cannot be written as a film ({_reason(error)}): give a name that ends in .mp4"
        ) from error


def frames_of(path: Path) -> int:
    """Number of frames of an image file; 1 if it cannot be read."""
    try:
        with Image.open(path) as opened:
            return getattr(opened, "n_frames", 1)
    except _FAILURES:
        return 1


def _read_folder(path: Path, size: int, channels: int) -> tuple[list[Clip], listing.Splits | None]:
    found = listing.walk(path, (*FILMS, *decode.SUFFIXES))
    moving = [f for f in found.files if f.suffix.lower() in FILMS or _moves(f)]
    if moving:
        still = len(found.files) - len(moving)
        found.files = moving
        splits = listing.split_and_class(found)
        if still:
            splits.notes.append(f"{still} still images left out")
        clips = [_read_file(file, name, size) for file, name in zip(splits.files, splits.names)]
        return same(clips, channels), splits
    groups: dict[Path, list[Path]] = {}
    for file in found.files:
        groups.setdefault(file.parent, []).append(file)
    if not groups:
        raise InputError(f"{path}: expected clips ({', '.join(('.gif', *FILMS))}) or frames (images) in it, got none")
    clips = []
    for folder, files in sorted(groups.items()):
        frames = _resized((decode.read_picture(f)[None] for f in sorted(files, key=_number)), size, str(folder))
        clips.append(
            Clip(frames[0], folder.relative_to(path).as_posix() if folder != path else path.name, 0.0, frames[1])
        )
    return same(clips, channels), None


def _moves(path: Path) -> bool:
    return path.suffix.lower() in ANIMATIONS and frames_of(path) > 1


def _number(path: Path) -> tuple:
    """Frame 10 comes after frame 9, whether or not names have leading zeros."""
    digits = "".join(ch if ch.isdigit() else " " for ch in path.stem).split()
    return [int(d) for d in digits], path.name


def _read_file(path: Path, name: str, size: int) -> Clip:
    if path.suffix.lower() in FILMS:
        return _read_film(path, name, size)
    try:
        with Image.open(path) as opened:
            if getattr(opened, "n_frames", 1) < 2:
                raise InputError(f"{path}: expected a clip, got one still image: give a folder of frames, or a film")
            durations: list[float] = []

            def pictures() -> Iterator[np.ndarray]:
                for frame in ImageSequence.Iterator(opened):
                    durations.append(float(frame.info.get("duration", 0)))
                    yield np.asarray(frame.convert("RGB")).transpose(2, 0, 1)[None]

            x, full = _resized(pictures(), size, str(path))
    except InputError:
        raise
    except _FAILURES as error:
        raise InputError(
            f"{path}: expected an animated image, got one that cannot be read ({_reason(error)})"
        ) from error
    mean = sum(durations) / len(durations)
    return Clip(_grey_if_grey(x), name, 1000 / mean if mean else 0.0, full)


def _read_film(path: Path, name: str, size: int) -> Clip:
    av = _pyav(path)
    try:
        with av.open(str(path)) as film:
            rate = film.streams.video[0].average_rate
            pictures = (f.to_ndarray(format="rgb24").transpose(2, 0, 1)[None] for f in film.decode(video=0))
            x, full = _resized(pictures, size, str(path))
    except InputError:
        raise
    except _FAILURES as error:
        raise InputError(f"{path}: expected a film, got one that cannot be read ({_reason(error)})") from error
    return Clip(_grey_if_grey(x), name, float(rate or 0), full)


def _resized(pictures: Iterable[np.ndarray], size: int, source: str) -> tuple[Tensor, tuple[int, int]]:
    """Frames ``[c, t, h, w]`` as bytes, resized as they come, and their height and width before."""
    parts: list[Tensor] = []
    full: tuple[int, int] | None = None
    stream = iter(pictures)
    while chunk := list(islice(stream, _CHUNK)):
        full = full or (chunk[0].shape[2], chunk[0].shape[3])
        other = next((p.shape[2:] for p in chunk if p.shape[2:] != full), None)
        if other and not size:
            sizes = " and ".join(f"{width}×{height}" for height, width in (full, other))
            raise InputError(f"{source}: expected frames of one size, got {sizes}: give --size to resize all")
        most = max(len(p[0]) for p in chunk)
        frames = [torch.tensor(p if len(p[0]) == most else p.repeat(3, 1)).float() for p in chunk]
        small = [shrink(frame, size) for frame in frames] if other else [shrink(torch.cat(frames), size)]
        parts.append(torch.cat(small).round().to(torch.uint8))
    if full is None:
        raise InputError(f"{source}: expected frames, got none")
    most = max(part.shape[1] for part in parts)
    frames = torch.cat([part if part.shape[1] == most else part.expand(-1, 3, -1, -1) for part in parts])
    return frames.transpose(0, 1).contiguous(), full


def _grey_if_grey(x: Shaped[Tensor, "c t h w"]) -> Shaped[Tensor, "c2 t h w"]:
    return x[:1] if x.shape[0] == 3 and bool((x[0] == x[1]).all() and (x[0] == x[2]).all()) else x


def _pyav(path: Path) -> Any:
    try:
        import av
    except ImportError:
        raise InputError(f"{path}: films need PyAV: pip install 'absynth[video]', or save the clip as a GIF") from None
    av.logging.set_level(av.logging.PANIC)
    return av


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
