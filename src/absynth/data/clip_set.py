"""Video as a data set: windows of a few frames, cut from one clip or from several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.data.clips import Clip, clips_of_array, read_clips
from absynth.data.dataset import Dataset, Split, check_part, mirror_description
from absynth.data.images import find_root
from absynth.data.listing import split_by_name
from absynth.data.order import set_aside
from absynth.errors import InputError
from absynth.report import Picture, ResultTable
from absynth.types import Batch

FRAMES = (16, 8)
"""Lengths of a window that are tried in turn where none is given."""
RATE = 12.0
"""Frames per second of an animation whose own rate is unknown."""
_SHOWN = 8  # frames of a clip on a sheet


class ClipSet(Dataset):
    """Windows of ``frames`` frames in [−1, 1], ``[n, channels, frames, height, width]``.

    Every window of a training clip is an example, so neighbours overlap. Of several clips about one in ten is for
    testing; of a single clip its last fifth is, which no training window reaches into.

    Args:
        clips: Clips of each split.
        name: Name of the set.
        part: The split.
        frames: Frames of a window.
        limit: Number of training windows to use; 0 uses all.
    """

    kind = "video"
    unit = "windows"

    def __init__(
        self, clips: Mapping[Split, Sequence[Clip]], name: str, part: Split = "train", *, frames: int, limit: int = 0
    ) -> None:
        check_part(part)
        if part not in clips:
            raise InputError(f"{name} has no {part} split: give --validation 0.1 to set a share of training aside")
        self._clips, self.name, self.part, self.frames, self.limit = clips, name, part, frames, limit
        self.clips = clips[part]
        self.rate = max((clip.rate for clip in self.clips), default=0.0)
        # Test windows do not overlap: each is news.
        every = 1 if part == "train" else frames
        self.windows = [(i, t) for i, c in enumerate(self.clips) for t in range(0, len(c) - frames + 1, every)]
        if part == "train" and limit:
            self.windows = self.windows[:limit]
        c, _, height, width = self.clips[0].x.shape if self.clips else (0, 0, 0, 0)
        self.shape = (c, frames, height, width)
        self.examples = len(self.windows) if part == "train" else 0

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, index: Tensor) -> Batch:
        found = [self.clips[i].x[:, t : t + self.frames] for i, t in (self.windows[k] for k in index.tolist())]
        x = torch.stack(found).float() if found else torch.zeros(0, *self.shape)
        return Batch(x / 127.5 - 1)

    def split(self, part: Split) -> ClipSet:
        if part == self.part:
            return self
        found = ClipSet(self._clips, self.name, part, frames=self.frames, limit=self.limit)
        found.source, found.examples, found.rate = self.source, self.examples, self.rate
        return found

    def whole(self) -> Float[Tensor, "c t h w"]:
        """The first clip of this split from its first frame to its last."""
        return self.clips[0].x.float() / 127.5 - 1

    def contents(self) -> Iterator[Tensor]:
        for clip in self.clips:
            yield clip.x.transpose(0, 1)

    def names(self, index: Tensor) -> list[str]:
        places = [self.windows[k] for k in index.tolist()]
        return [f"{self.clips[i].name}, frame {t}" for i, t in places]

    def details(self) -> dict[str, Any]:
        return {"rate": self.rate}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> ClipSet:
        found = cls({"train": ()}, description["name"], frames=description["shape"][1])
        mirror_description(found, description)
        found.rate = description["details"]["rate"]
        return found

    def parse(self, path: Path) -> Tensor:
        """Windows of your own clips, none overlapping, in the size of this set."""
        clips, _ = read_clips(path, size=self.shape[-1], channels=self.shape[0])
        theirs = ClipSet({"test": clips}, path.name, "test", frames=self.frames)
        if tuple(theirs.shape) != tuple(self.shape) or not len(theirs):
            raise InputError(
                f"{path}: expected clips of shape {list(self.shape)} (channels, frames, height, width) or longer, got "
                f"{list(clips[0].x.shape)}: give longer ones, of the training clips' proportions"
            )
        return theirs.all()

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("validation", "test")

    def summary(self) -> str:
        rate = f", {self.rate:.3g} frames per second" if self.rate else ""
        lengths = [len(clip) for clip in self.clips]
        spread = f"{min(lengths)}" if min(lengths) == max(lengths) else f"{min(lengths)} to {max(lengths)}"
        return f"{super().summary()}; {len(lengths)} training clips of {spread} frames{rate}"

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """A sheet of frames, a row per clip, and all clips as an animation beside each other."""
        moving = file.with_suffix(".gif")
        pictures.animation(x[:24], moving, columns=min(columns, 6), rate=self.rate or RATE)
        pictures.grid(_frames(x[:6]).flatten(0, 1), file, columns=min(_SHOWN, x.shape[2]))
        shown = f"Frames of {min(len(x), 6)} clips, a row each"
        return [{"file": moving.name, "caption": f"{min(len(x), 24)} clips"}, {"file": file.name, "caption": shown}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        """Frames of the first two clips in every form, and up to six clips as an animation, a row per form."""
        moving, order = file.with_suffix(".gif"), ", ".join(rows)
        few = {title: x[:6] for title, x in rows.items()}
        stacked = torch.cat([x.float().cpu() for x in few.values()])
        columns = len(next(iter(few.values())))
        pictures.animation(stacked, moving, columns=columns, rate=self.rate or RATE)
        pictures.rows_with_labels({title: _frames(x[:2]).flatten(0, 1) for title, x in rows.items()}, file)
        caption = f"From the top: {order}"
        return [{"file": moving.name, "caption": caption}, {"file": file.name, "caption": caption}]


def _frames(x: Float[Tensor, "n c t h w"]) -> Float[Tensor, "n k c h w"]:
    """Up to eight frames of each clip, evenly spaced."""
    at = torch.linspace(0, x.shape[2] - 1, min(_SHOWN, x.shape[2])).round().long()
    return x[:, :, at].transpose(1, 2)


def read_clip_set(
    source: Any, *, size: int = 0, channels: int = 0, frames: int = 0, limit: int = 0, validation: float = 0.0
) -> ClipSet:
    """Video: a GIF, a film, an array ``[n, t, h, w(, c)]`` in a file or in memory, a folder of clips or of frames."""
    splits = None
    if isinstance(source, Path):
        clips, splits = read_clips(source, size=size, channels=channels)
        name = source.name
    else:
        clips, name = clips_of_array(np.asarray(source), size=size, channels=channels), "array"
    length = frames or _window(clips, name)
    short = next((clip for clip in clips if len(clip) < (2 * length if len(clips) == 1 else length)), None)
    if short is not None:
        wanted = (
            f"{2 * length} frames, {length} to train and {length} to test" if len(clips) == 1 else f"{length} frames"
        )
        raise InputError(
            f"{short.name}: expected a clip of at least {wanted}, got {len(short)}: give a smaller --frames"
        )
    if len(clips) == 1:
        parts = _cut(clips[0], length, validation)
    elif splits is not None and any(splits.part):
        parts = {}
        for part in ("train", "validation", "test"):
            try:
                parts[part] = [clips[i] for i in splits.rows(part)]
            except InputError:
                continue
    else:
        names = [clip.name for clip in clips]
        parts = {part: [clips[i] for i in split_by_name(names, part)] for part in ("train", "test")}
    if validation and len(clips) > 1:
        kept, held = set_aside(len(parts["train"]), validation)
        train = parts["train"]
        parts |= {"train": [train[i] for i in kept], "validation": [train[i] for i in held]}
    found = ClipSet(parts, name, frames=length, limit=limit)
    found.notes = tuple(splits.notes) if splits is not None else ()
    height, width = clips[0].full
    if not size and (height, width) != tuple(clips[0].x.shape[2:]):
        note = f"frames of {width}×{height} resized to {clips[0].x.shape[3]}×{clips[0].x.shape[2]}, --size gives others"
        found.notes = (*found.notes, note)
    return found


def published_clip(name: str) -> Callable[..., ClipSet]:
    """A reader of one clip of the folder of dynamic textures."""

    def open(*, size: int = 0, channels: int = 0, frames: int = 0, limit: int = 0, validation: float = 0.0) -> ClipSet:
        path = find_root("", "dynamic_textures") / "dynamic_textures" / f"{name}.npz"
        if not path.is_file():
            raise InputError(
                f"expected {path}, found none: set ABSYNTH_DATA to the folder that holds dynamic_textures/"
            )
        return read_clip_set(path, size=size, channels=channels, frames=frames, limit=limit, validation=validation)

    return open


def _window(clips: Sequence[Clip], name: str) -> int:
    shortest = min(len(clip) for clip in clips)
    # A third of a single clip, so that more than one window is left to train on.
    found = next((length for length in FRAMES if length <= shortest // (3 if len(clips) == 1 else 1)), FRAMES[-1])
    if found * (2 if len(clips) == 1 else 1) > shortest:
        least = FRAMES[-1] * (2 if len(clips) == 1 else 1)
        raise InputError(
            f"{name}: expected clips of at least {least} frames, got {min(map(len, clips))}: give longer ones"
        )
    return found


def _cut(clip: Clip, frames: int, validation: float) -> dict[Split, list[Clip]]:
    """The end of a single clip for testing, what lies before it for validation if wanted, the rest for training."""

    def piece(begin: int, end: int) -> list[Clip]:
        return [Clip(clip.x[:, begin:end].contiguous(), clip.name, clip.rate, clip.full)]

    test = len(clip) - max(frames, len(clip) // 5)
    found: dict[Split, list[Clip]] = {"train": piece(0, test), "test": piece(test, len(clip))}
    if validation:
        begin = test - max(frames, round(validation * test))
        if begin < frames:
            raise InputError(
                f"{clip.name}: expected --validation to leave {frames} frames to train on, got {validation:g} of {test}"
            )
        found |= {"train": piece(0, begin), "validation": piece(begin, test)}
    return found
