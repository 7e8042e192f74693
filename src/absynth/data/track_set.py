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
from absynth.errors import InputError
from absynth.report import Picture, ResultTable
from absynth.types import Batch

Read = Callable[[Split], list[Tracks]]
_FAR = 1e4  # ordinary steps


class TrackSet(Dataset):
    """Windows of ``past + future`` positions of one agent.

    ``x`` is the residual of the future to constant velocity ``[n, future, 2]`` in the agent's own frame
    (:class:`absynth.data.tracks.Frames`), ``c`` its past in that frame ``[n, 2 (past − 1) + 1]``. With ``pose``, c ends
    with its last position and heading in the files' coordinates (4 numbers more). With ``agents`` above 1 an example is
    one agent and its nearest neighbours at that moment: x ``[n, agents, future, 2]``, c ``[n, agents, ...]``. With
    ``neighbours``, c has the pasts of so many others behind the agent's own, each of ``2 past + 1`` numbers
    (:meth:`absynth.data.tracks.Frames.neighbours`); only the agent's own future is predicted.

    Args:
        read: ``split -> recordings``; called once per split.
        name: Name of the set.
        part: The split.
        past: Number of positions observed.
        future: Number of positions predicted.
        mirror: Whether the mirror image of every training window is added.
        limit: Number of training windows to use; 0 uses all.
        validation: Share of the training windows set aside; 0 takes the data's own validation split.
        pose: Whether the condition ends with the pose in the files' coordinates.
        agents: Number of agents of an example; windows with fewer neighbours are left out of training.
        neighbours: Number of other agents whose pasts stand in the condition, the nearest at each moment.
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
        pose: bool = False,
        agents: int = 1,
        neighbours: int = 0,
        unit_length: float = 0.0,
    ) -> None:
        check_part(part)
        self._read, self.part, self.past, self.future, self.mirror, self.limit = read, part, past, future, mirror, limit
        if neighbours and (pose or agents > 1):
            raise InputError("expected --neighbours without --pose and --agents, got both: leave one out")
        self.pose, self.agents, self.neighbours = pose, agents, neighbours
        several = (agents,) if agents > 1 else ()
        self.shape, self.condition = (*several, future, 2), 2 * (past - 1) + 1 + 4 * pose
        self.condition += neighbours * (2 * past + 1)
        self.validation = validation
        self.recordings = read("train" if validation and part == "validation" else part)
        notes = (note for recording in self.recordings for note in recording.notes)
        self.notes = tuple(dict.fromkeys(notes))
        self.name = name or ", ".join(t.name for t in self.recordings[:3])
        self.windows: Windows | None = self._cut() if self.recordings else None
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

    def _cut(self) -> Windows:
        try:
            return tracks.cut(self.recordings, self.past, self.future, neighbours=self.neighbours)
        except InputError as error:
            if self.part == "train":
                raise
            raise InputError(
                f"the {self.part} split of {self.name} cannot be used ({error}): give longer or more recordings"
            ) from None

    def _framed(self) -> tuple[Tensor, Tensor]:
        if self.windows is None:
            return torch.zeros(0, *self.shape), torch.zeros(0, *self.shape[:-2], self.condition)
        parts = [self.windows]
        if self.mirror and self.part == "train":
            parts.append(tracks.mirrored(self.windows))
        x = [self.frames(part).departure(part.future) for part in parts]
        c = [self._condition(part) for part in parts]
        if self.agents > 1:
            groups = [tracks.neighbours(part, self.agents) for part in parts]
            whole = [group[(group >= 0).all(1)] for group in groups]
            if not len(whole[0]):
                raise InputError(
                    f"expected moments that at least {self.agents} agents share, got none: give fewer --agents"
                )
            x, c = [a[rows] for a, rows in zip(x, whole)], [a[rows] for a, rows in zip(c, whole)]
        return torch.cat(x), torch.cat(c)

    def conditions(self, windows: Windows) -> Tensor:
        """The condition ``c`` of windows; a neighbour that is missing stands far away."""
        c = self._condition(windows)
        if self.agents == 1:
            return c
        groups = tracks.neighbours(windows, self.agents)
        found = c[groups.clamp(min=0)]
        missing = (groups < 0)[..., None]
        return torch.where(missing, found + _FAR * self.unit_length * torch.eye(self.condition)[-4], found)

    def _condition(self, windows: Windows) -> Tensor:
        frames = self.frames(windows)
        parts = [frames.condition(windows.past)]
        if self.pose:
            parts.append(frames.pose())
        if self.neighbours:
            others = windows.others
            if others is None:  # the agent is alone
                others = windows.past.new_full((len(windows), self.neighbours, self.past, 2), torch.nan)
            parts.append(frames.neighbours(others).flatten(1))
        return torch.cat(parts, 1)

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
            "validation": self.validation, "unit_length": self.unit_length, "pose": self.pose, "agents": self.agents,
            "neighbours": self.neighbours,
        }  # fmt: skip

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("validation", "test")

    def contents(self) -> Iterator[Tensor]:
        for recording in self.recordings:
            yield recording.agent
            yield recording.frame
            yield recording.xy

    def details(self) -> dict[str, Any]:
        return self._options()

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> TrackSet:
        found = cls(lambda part: [], description["name"], **description["details"])
        mirror_description(found, description)
        return found

    def cut(self, path: str, *, every: int = 0) -> Windows:
        """Windows of a file or folder of tracks, unknown futures NaN; ``every`` as in ``absynth.data.tracks.cut``."""
        every = every or self.future
        return tracks.cut(
            tracks.read_all(path), self.past, self.future, every=every, whole=False, neighbours=self.neighbours
        )

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """Row i is a prediction for test window i, drawn over the scene."""
        from absynth.scenes import draw

        test = self.split("test").windows
        if test is None:
            return []
        x, windows = x[:, 0] if self.agents > 1 else x, test[: len(x)]
        draw(file, windows, self.frames(windows).positions(x[: len(windows)])[None])
        return [{"file": file.name, "caption": f"{len(windows)} pasts, one prediction and the truth of each"}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        return [part for title, x in rows.items() for part in self.show(x, file.with_name(f"{file.stem}_{title}.png"))]
