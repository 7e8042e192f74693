"""Tracks of moving agents and the windows of them that a predictor learns from.

A window is ``past + future`` positions of one agent at the file's own sampling interval, one window for every frame at
which it can begin. :class:`Frames` are the coordinates in which its future is given: the agent stands at the origin,
goes along the first axis, and what is predicted is how it departs from constant velocity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from absynth.errors import InputError

PAST, FUTURE = 8, 12
"""Positions observed and predicted: 3.2 s and 4.8 s at 2.5 a second, in every published protocol."""


@dataclass(frozen=True, eq=False, repr=False)
class Tracks:
    """Every position of a recording, agent by agent and in the order of time."""

    agent: Int64[Tensor, "n"]
    frame: Int64[Tensor, "n"]
    xy: Float64[Tensor, "n 2"]
    name: str
    notes: tuple[str, ...] = ()
    """What was found or left out, one phrase each."""

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"Tracks({self.name}: {len(self)} positions of {len(self.agent.unique())} agents)"

    def interval(self) -> int:
        """Frames between an agent's positions: the most frequent difference."""
        steps = self.frame.diff()[self.agent.diff() == 0]
        return int(steps.mode().values) if len(steps) else 1

    def split(self, share: float) -> tuple[Tracks, Tracks]:
        """Before and after this share of the recording's time."""
        since = (self.frame - self.frame.min()).double()  # float32 would lose the steps of clocks since 1970
        early = since < share * since.max()
        first, second = (
            Tracks(self.agent[r], self.frame[r], self.xy[r], self.name, self.notes) for r in (early, ~early)
        )
        return first, second


@dataclass(frozen=True, eq=False, repr=False)
class Windows:
    """Pieces of tracks, one row an agent and a beginning."""

    past: Float64[Tensor, "n past 2"]
    future: Float64[Tensor, "n future 2"]
    """NaN where it is not known."""
    agent: Int64[Tensor, "n"]
    frame: Int64[Tensor, "n"]
    """Of the last observed position."""
    recording: Int64[Tensor, "n"]
    """Number of the file within what was read together."""
    others: Float64[Tensor, "n neighbours past 2"] | None = None
    """Pasts of the nearest other agents at that moment, nearest first; NaN where there are fewer. None: not sought."""

    def __len__(self) -> int:
        return len(self.past)

    def __repr__(self) -> str:
        return f"Windows({len(self)} of {self.past.shape[1]} + {self.future.shape[1]} positions)"

    def __getitem__(self, rows: Tensor | slice) -> Windows:
        columns = (getattr(self, f.name) for f in fields(self))
        return Windows(*(None if column is None else column[rows] for column in columns))

    def known(self) -> Windows:
        """Those whose whole future is known."""
        return self[self.future.isfinite().all(2).all(1)]

    def moments(self, agents: int = 2) -> int:
        """Moments of a recording that at least so many windows share: what papers count as test sequences."""
        keys, counts = torch.stack([self.recording, self.frame], 1).unique(dim=0, return_counts=True)
        return int((counts >= agents).sum()) if len(keys) else 0


@dataclass(frozen=True, eq=False)
class Frames:
    """One frame of coordinates a window, which follows from its past alone.

    The agent's last position is the origin, its last step points along the first axis, and lengths are given in units
    of what it may depart by: ``reach + speed · future``, so that slow and fast agents are learned together.
    """

    origin: Float64[Tensor, "n 2"]
    heading: Float64[Tensor, "n 2"]
    """Unit vector of the last step; of an agent that stands still, the first axis."""
    step: Float64[Tensor, "n 2"]
    """The last step, in the coordinates of the file."""
    scale: Float64[Tensor, "n"]
    unit: float
    """One step's length, in the coordinates of the file, of an agent of ordinary speed."""

    @staticmethod
    def of(past: Float64[Tensor, "n past 2"], unit: float, future: int = FUTURE) -> Frames:
        """The frames of these pasts.

        Args:
            past: observed positions.
            unit: an ordinary agent's step (:func:`ordinary_step`): what is slow and what is fast is given by it.
            future: steps that will be predicted.
        """
        step = past[:, -1] - past[:, -2]
        # The speed is that of the whole past too: one step is noisy, and a scale near zero would blow its noise up.
        speed = torch.maximum(step.norm(dim=1), past.diff(dim=1).norm(dim=2).mean(1))
        length = step.norm(dim=1, keepdim=True)
        ahead = torch.tensor([1.0, 0.0], dtype=past.dtype, device=past.device).expand_as(step)
        heading = torch.where(length > 1e-3 * unit, step / length.clamp(min=1e-12), ahead)
        return Frames(past[:, -1], heading, step, 0.25 * future * (speed + 0.25 * unit), unit)

    def condition(self, past: Float64[Tensor, "n past 2"]) -> Float32[Tensor, "n c"]:
        """The condition of a predictor: the earlier positions in this frame, and the logarithm of the scale."""
        earlier = self._turned(past[:, :-1] - self.origin[:, None], -1) / self.scale[:, None, None]
        return torch.cat([4 * earlier.flatten(1), (self.scale / self.unit).log()[:, None]], 1).float()

    def neighbours(self, others: Float64[Tensor, "n neighbours past 2"]) -> Float32[Tensor, "n neighbours c"]:
        """Pasts of other agents in this frame, each behind a 1; zeros alone where there is none.

        Positions are in units of the frame's scale, as the agent's own, but drawn in beyond a few of them: how far away
        a distant agent is does not matter.
        """
        present = others.isfinite().all(3).all(2)
        there = others.where(present[..., None, None], self.origin[:, None, None].expand_as(others))
        n, k, past, _ = others.shape
        turned = self._turned((there - self.origin[:, None, None]).flatten(1, 2), -1).view(n, k, past, 2)
        drawn = 4 * (turned / (4 * self.scale[:, None, None, None])).asinh()
        known = present[..., None].to(drawn.dtype)
        return torch.cat([known, drawn.flatten(2) * known], 2).float()

    def pose(self) -> Float32[Tensor, "n 4"]:
        """Last position and heading, in the coordinates of the file."""
        return torch.cat([self.origin, self.heading], 1).float()

    def departure(self, future: Float64[Tensor, "n future 2"]) -> Float32[Tensor, "n future 2"]:
        """Future positions, as departures from constant velocity in this frame."""
        return (self._turned(future - self._straight(future.shape[1]), -1) / self.scale[:, None, None]).float()

    def positions(self, departure: Float[Tensor, "n future 2"]) -> Float64[Tensor, "n future 2"]:
        """:meth:`departure`, back in the coordinates of the file."""
        turned = self._turned(departure.double() * self.scale[:, None, None], 1)
        return turned + self._straight(departure.shape[1])

    def _straight(self, steps: int) -> Tensor:
        """Constant velocity ``[n, steps, 2]``."""
        count = torch.arange(1, steps + 1, dtype=self.step.dtype, device=self.step.device)
        return self.origin[:, None] + self.step[:, None] * count[:, None]

    def _turned(self, x: Tensor, way: int) -> Tensor:
        """Vectors ``[n, t, 2]`` turned from the frame to the file (1) or back (-1)."""
        cos, sin = self.heading[:, None, 0], way * self.heading[:, None, 1]
        return torch.stack([cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], -1)


def ordinary_step(windows: Windows) -> float:
    """The median length of an agent's step among those that move at all: the unit of :class:`Frames`."""
    steps = windows.past.diff(dim=1).norm(dim=2).flatten()
    moving = steps[steps > 0]
    if not len(moving):
        raise InputError("expected tracks of agents that move, got none that do: check the columns x and y")
    return float(moving.median())


def neighbours(windows: Windows, agents: int) -> Int64[Tensor, "n agents"]:
    """Rows of each window and of its nearest neighbours at the same moment, itself first; −1 where there are fewer."""
    moment = torch.stack([windows.recording, windows.frame], 1).unique(dim=0, return_inverse=True)[1]
    found = torch.full((len(windows), agents), -1)
    for rows in moment.argsort(stable=True).split(moment.bincount().tolist()):
        at = windows.past[rows, -1]
        near = torch.cdist(at, at).fill_diagonal_(-1).argsort(1)[:, :agents]
        found[rows, : near.shape[1]] = rows[near]
    return found


def mirrored(windows: Windows) -> Windows:
    """The same windows in a mirror: left and right are alike to a predictor in :class:`Frames`."""
    flip = torch.tensor([1.0, -1.0], dtype=windows.past.dtype)
    others = None if windows.others is None else windows.others * flip
    return Windows(windows.past * flip, windows.future * flip, windows.agent, windows.frame, windows.recording, others)


def nearest_others(windows: Windows, everyone: Windows, count: int) -> Float64[Tensor, "n count past 2"]:
    """Pasts of the agents nearest to each window's own at its moment, nearest first; NaN where there are fewer.

    Args:
        windows: whose neighbours are wanted.
        everyone: pasts of all agents at all moments, of the same recordings.
        count: neighbours of each window.
    """
    keys = torch.cat([torch.stack([w.recording, w.frame], 1) for w in (windows, everyone)])
    moment = keys.unique(dim=0, return_inverse=True)[1]
    sizes = moment.bincount().tolist()
    found = windows.past.new_full((len(windows), count, *windows.past.shape[1:]), torch.nan)
    for rows in moment.argsort(stable=True).split(sizes):
        own, present = rows[rows < len(windows)], rows[rows >= len(windows)] - len(windows)
        if len(own) and len(present) > 1:
            distance = torch.cdist(windows.past[own, -1], everyone.past[present, -1])
            same = windows.agent[own][:, None] == everyone.agent[present]
            near = distance.masked_fill(same, torch.inf).argsort(1)[:, : min(count, len(present) - 1)]
            found[own[:, None], torch.arange(near.shape[1])] = everyone.past[present[near]]
    return found


def cut(
    tracks: Sequence[Tracks],
    past: int = PAST,
    future: int = FUTURE,
    *,
    every: int = 1,
    whole: bool = True,
    neighbours: int = 0,
) -> Windows:
    """Windows of ``past + future`` positions, one for every frame at which one can begin.

    Args:
        tracks: recordings; each has its own sampling interval, at which a window's positions follow each other.
        past: positions observed.
        future: positions predicted.
        every: keep one window in so many of each uninterrupted piece of track, counted back from its last.
        whole: leave out windows whose future is not wholly known; else it is NaN from the first unknown position on.
        neighbours: number of other agents whose pasts go with each window, those nearest to its last observed position.
    """
    parts: list[tuple[Tensor, ...]] = []
    for number, recording in enumerate(tracks):
        breaks = (recording.agent.diff() != 0) | (recording.frame.diff() != recording.interval())
        ends = [0, *(breaks.nonzero().squeeze(1) + 1).tolist(), len(recording)]
        for begin, end in pairwise(ends):
            last = end - begin - past - (future if whole else 0)
            if last < 0:
                continue
            starts = torch.arange(last, -1, -every).flip(0)
            padded = torch.cat([recording.xy[begin:end], recording.xy.new_full((future, 2), torch.nan)])
            cuts = padded.unfold(0, past + future, 1)[starts].transpose(1, 2)
            at = starts + begin + past - 1
            parts.append((cuts, recording.agent[at], recording.frame[at], torch.full_like(at, number)))
    if not parts:
        need = past + (future if whole else 0)
        names = ", ".join(t.name for t in tracks[:3])
        raise InputError(
            f"expected tracks of at least {need} positions in a row, got none in {names}: give longer ones, or "
            "smaller --past and --future"
        )
    cuts, agent, frame, recording = (torch.cat(column) for column in zip(*parts))
    found = Windows(cuts[:, :past], cuts[:, past:], agent, frame, recording)
    if not neighbours:
        return found
    # An agent is seen wherever its past is, also where its own future is not known.
    return replace(found, others=nearest_others(found, cut(tracks, past, 0, whole=False), neighbours))
