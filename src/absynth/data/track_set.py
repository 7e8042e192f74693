"""Tracks of agents as a data set: each window's future as its residual to constant velocity, given its past."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from absynth.data import tracks
from absynth.data.dataset import Dataset, Split, check_part, mirror_description
from absynth.data.order import set_aside
from absynth.data.tracks import Frames, Tracks, Windows
from absynth.report import Picture, ResultTable
from absynth.types import Batch

Read = Callable[[Split], list[Tracks]]


class TrackSet(Dataset):
    """Windows of ``past + future`` positions of one agent.

    ``x`` is the residual of the future to constant velocity ``[n, future, 2]`` in the agent's own frame
    (:class:`absynth.data.tracks.Frames`), ``c`` its past in that frame ``[n, 2 (past − 1) + 1]``.

    Args:
        read: ``split -> recordings``; called once per split.
        name: Name of the set.
        part: The split.
        past: Number of positions observed.
        future: Number of positions predicted.
        mirror: Whether the mirror image of every training window is added.
        limit: Number of training windows to use; 0 uses all.
        validation: Share of the training windows set aside; 0 takes the data's own validation split.
        unit_length: Step of an ordinary agent, in the unit of the files. Defaults to the median of training.
    """

    kind = "tracks"
    unit = "windows"

    def __init__(
        self,
        read: Read,
        name: str = "",
        part: Split = "train",
        *,
        past: int = tracks.PAST,
        future: int = tracks.FUTURE,
        mirror: bool = True,
        limit: int = 0,
        validation: float = 0.0,
        unit_length: float = 0.0,
    ) -> None:
        check_part(part)
        self._read, self.part, self.past, self.future, self.mirror, self.limit = read, part, past, future, mirror, limit
        self.shape, self.condition = (future, 2), 2 * (past - 1) + 1
        self.validation = validation
        self.recordings = read("train" if validation and part == "validation" else part)
        notes = (note for recording in self.recordings for note in recording.notes)
        self.notes = tuple(dict.fromkeys(notes))
        self.name = name or ", ".join(t.name for t in self.recordings[:3])
        self.windows: Windows | None = tracks.cut(self.recordings, past, future) if self.recordings else None
        if self.windows is not None and validation and part != "test":
            # Whole agents, for windows of one agent overlap.
            agents = torch.stack([self.windows.recording, self.windows.agent], 1).unique(dim=0, return_inverse=True)[1]
            kept, held = set_aside(int(agents.max()) + 1, validation)
            self.windows = self.windows[torch.isin(agents, kept if part == "train" else held)]
        if self.windows is not None and limit and part == "train":
            self.windows = self.windows[torch.arange(min(limit, len(self.windows)))]
        self.unit_length = unit_length or (tracks.ordinary_step(self.windows) if self.windows is not None else 1.0)
        self._x, self._c = self._framed()
        self.examples = len(self._x) if part == "train" else 0

    def _framed(self) -> tuple[Tensor, Tensor]:
        if self.windows is None:
            return torch.zeros(0, *self.shape), torch.zeros(0, self.condition)
        parts = [self.windows]
        if self.mirror and self.part == "train":
            parts.append(tracks.mirrored(self.windows))
        framed = [(self.frames(part), part) for part in parts]
        x = torch.cat([frames.departure(part.future) for frames, part in framed])
        return x, torch.cat([frames.condition(part.past) for frames, part in framed])

    def frames(self, windows: Windows) -> Frames:
        """The frames of coordinates in which the windows' futures are predicted."""
        return Frames.of(windows.past, self.unit_length, self.future)

    def __len__(self) -> int:
        return len(self._x)

    def batch(self, index: Tensor) -> Batch:
        return Batch(self._x[index], c=self._c[index])

    def split(self, part: Split) -> TrackSet:
        if part == self.part:
            return self
        found = type(self)(self._read, self.name, part, **self._options())
        found.source, found.examples = self.source, self.examples
        return found

    def _options(self) -> dict[str, Any]:
        return {
            "past": self.past, "future": self.future, "mirror": self.mirror, "limit": self.limit,
            "validation": self.validation, "unit_length": self.unit_length,
        }  # fmt: skip

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("validation", "test")

    def contents(self) -> Iterator[Tensor]:
        yield self._x
        yield self._c

    def details(self) -> dict[str, Any]:
        return self._options()

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> TrackSet:
        found = cls(lambda part: [], description["name"], **description["details"])
        mirror_description(found, description)
        return found

    def cut(self, path: str, *, every: int = 0) -> Windows:
        """Windows of a file or folder of tracks, unknown futures NaN; ``every`` as in ``absynth.data.tracks.cut``."""
        return tracks.cut(tracks.read_all(path), self.past, self.future, every=every or self.future, whole=False)

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """Row i is a prediction for test window i, drawn over the scene."""
        from absynth.scenes import draw

        test = self.split("test").windows
        if test is None:
            return []
        windows = test[: len(x)]
        draw(file, windows, self.frames(windows).positions(x[: len(windows)])[None])
        return [{"file": file.name, "caption": f"{len(windows)} pasts, one prediction and the truth of each"}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        return [part for title, x in rows.items() for part in self.show(x, file.with_name(f"{file.stem}_{title}.png"))]
