"""Files of tracks: one position per line, in the layouts that are in use, and the published sets.

A header names the columns; without one, four columns are frame, agent, x and y, and a few known layouts of more columns
are recognized. Anything else is refused, for columns that are taken for others give wrong tracks in silence.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from absynth.data import listing
from absynth.data.layouts import LAYOUTS, NAMES, columns_of_header, is_number, layout_of, ngsim_parts, plain_name
from absynth.data.lines import read_lines
from absynth.data.times import frames_of_times, seconds_of
from absynth.data.windows import FUTURE, PAST, Frames, Tracks, Windows, cut, mirrored, neighbours, ordinary_step
from absynth.errors import InputError

__all__ = [
    "FUTURE", "PAST", "SCENES", "SDD_TEST", "Frames", "Scene", "Tracks", "Windows", "cut", "eth_ucy",
    "looks_like_tracks", "mirrored", "neighbours", "ordinary_step", "read", "read_all", "read_splits", "sdd",
    "sdd_pixels", "split_recordings",
]  # fmt: skip

Scene = Literal["eth", "hotel", "univ", "zara1", "zara2"]
SCENES: tuple[Scene, ...] = ("eth", "hotel", "univ", "zara1", "zara2")

SDD_TEST = frozenset(
    {
        "coupa_0", "coupa_1", "gates_2", "hyang_0", "hyang_1", "hyang_3", "hyang_8", "little_0", "little_1", "little_2",
        "little_3", "nexus_5", "nexus_6", "quad_0", "quad_1", "quad_2", "quad_3",
    }
)  # fmt: skip
"""Videos of Stanford Drone that TrajNet, and all since, test on."""

_SUFFIXES = (".txt", ".csv", ".tsv", ".ndjson", ".txt.gz", ".csv.gz", ".tsv.gz")
_LARGEST = 1e12  # coordinates beyond it have no digits left for a step


def eth_ucy(root: Path, scene: Scene, split: Literal["train", "val", "test"]) -> list[Tracks]:
    """ETH-UCY, one scene left out: the other scenes' training or validation parts, or the whole of this one.

    Positions in metres, 2.5 a second. ``eth_ucy/splits.json`` names the files (Gupta et al. 2018 and all since).

    Args:
        root: the folder of data sets.
        scene: the scene that is left out, and tested on.
        split: which part.
    """
    folder = _folder(root, "eth_ucy", "splits.json")
    try:
        names = json.loads((folder / "splits.json").read_text())[scene][split]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / 'splits.json'} must name the files of {scene}, got {error!r}: restore it"
        ) from None
    place = folder / ("full" if split == "test" else split)
    return [read(_either(place / name)) for name in names]


def sdd(root: Path, split: Literal["train", "test"]) -> list[Tracks]:
    """Stanford Drone in TrajNet's form, as it is given: every fifth video, in the order of names, is for testing.

    The published test futures are not public, so part of the training videos is held out, whole videos at a time.
    """
    folder = _folder(root, "sdd", "trajnet_train")
    files = sorted(f for f in (folder / "trajnet_train").iterdir() if ".txt" in f.name)
    return [read(f) for i, f in enumerate(files) if (i % 5 == 4) == (split == "test")]


def sdd_pixels(root: Path, split: Literal["train", "test"]) -> list[Tracks]:
    """Stanford Drone's own annotations in pixels, 2.5 positions a second: the centres of boxes, of every kind of agent.

    Videos of the published test set (:data:`SDD_TEST`) are for testing, the others for training.
    """
    folder = _folder(root, "sdd", "raw_every12")
    files = sorted(f for f in (folder / "raw_every12").iterdir() if ".txt" in f.name)
    return [read(f) for f in files if (f.name.split(".")[0] in SDD_TEST) == (split == "test")]


def read_all(path: Path | str) -> list[Tracks]:
    """Tracks of your own: one file, or every file of text in a folder and its sub-folders."""
    return [recording for part in read_splits(path).values() for recording in part]


def read_splits(path: Path | str) -> dict[str, list[Tracks]]:
    """Tracks of your own by split, "" where a file or folder names none (:mod:`absynth.data.listing`).

    Raises:
        InputError: There is no such file or folder, or a file cannot be read.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; expected tracks as text: frame, agent, x, y")
    if not path.is_dir():
        return {"": [read(path)]}
    listed = listing.walk(path, _SUFFIXES)
    if not listed.files:
        raise InputError(f"{path}: expected files .txt or .csv of tracks in it, got none")
    splits = listing.split_and_class(listed)
    found: dict[str, list[Tracks]] = {}
    for file, part in zip(splits.files, splits.part):
        found.setdefault(part, []).append(read(file))
    return found


class _Position(NamedTuple):
    line: int
    time: float
    agent: str
    x: float
    y: float


def read(path: Path) -> Tracks:
    """One file of tracks, cells apart by commas, semicolons, tabs or spaces, plain or gzipped.

    A header names the columns (frame or time, agent, x, y; :data:`absynth.data.layouts.NAMES`). Without one, four
    columns are those, and the layouts of :data:`absynth.data.layouts.LAYOUTS` are known. Positions written ``?`` are
    unknown. Agents are names; time is a frame number or a clock (:func:`absynth.data.times.frames_of_times`).

    Raises:
        InputError: There is no such file, a line cannot be read, the columns are not known, an agent is at two places
            at one time.
    """
    lines = read_lines(path, "tracks as text")
    if path.suffix.lower() == ".ndjson":
        positions, notes = _json_positions(path, lines), ()
    else:
        positions, notes = _positions(path, lines)
    if not positions:
        raise InputError(f"{path}: expected lines of frame, agent, x, y, got none")
    return _tracks(path, positions, notes)


def _positions(path: Path, lines: Sequence[str]) -> tuple[list[_Position], tuple[str, ...]]:
    rows = _rows(lines)
    if not rows:
        return [], ()
    first = rows[0][1]
    columns = None if is_number(first[0]) or any(map(is_number, first[1:4])) else columns_of_header(path, first)
    notes: tuple[str, ...] = ()
    known = None
    if columns is None:
        known = layout_of([row for _, row in rows[:200]])
        if known is None and len(first) > 4:
            raise InputError(
                f"{path}: expected frame, agent, x, y, got {len(first)} columns without a header: give a first line "
                "that names them"
            )
        if known is not None:
            notes = (f"layout of {LAYOUTS[known].about}",)
    else:
        rows = rows[1:]
    apart = () if columns is None else ngsim_parts(first)
    notes = ("NGSIM's table: Local_X and Local_Y in feet",) if apart else notes
    found = []
    for line, row in rows:
        try:
            if known is not None:
                position = LAYOUTS[known].read(row)
                if position is None:
                    continue
            else:
                position = [row[k] for k in columns or (0, 1, 2, 3)]
            if "?" in (position[2], position[3]):
                continue
            time, x, y = seconds_of(position[0]), float(position[2]), float(position[3])
            if not all(abs(value) < _LARGEST for value in (x, y)) or not np.isfinite(time):
                raise ValueError(position)
        except (IndexError, ValueError, OverflowError):
            got = " ".join(row)[:60]
            raise InputError(
                f"{path}, line {line}: expected frame, agent, x, y (numbers), got {got!r}: correct it"
            ) from None
        agent = "/".join((position[1], *(row[k] for k in apart)))
        found.append(_Position(line, time, agent, x, y))
    if columns is None and known is None:
        _require_order(path, found)
    return found, notes


def _rows(lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Numbered lines as cells; empty lines and comments are left out."""
    kept = [(i, line) for i, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if not kept:
        return []
    separator = next((s for s in (";", "\t", ",") if s in kept[0][1]), "")
    comma = separator in (";", "\t")  # then a comma between digits is a decimal sign
    rows = []
    for i, line in kept:
        if not separator:
            rows.append((i, line.split()))
            continue
        cells = next(csv.reader([line], delimiter=separator)) if '"' in line else line.split(separator)
        cells = [re.sub(r"^([+-]?\d*),(\d+)$", r"\1.\2", c.strip()) if comma else c.strip() for c in cells]
        if len(cells) == 1 or (separator == "," and any(" " in c and is_number(c.split()[0]) for c in cells)):
            cells = line.replace(separator, " ").split()  # separators are mixed
        rows.append((i, cells))
    return rows


def _require_order(path: Path, positions: Sequence[_Position]) -> None:
    """Refuse agent, frame, x, y: by it agents move smoothly, by the order that is expected they jump."""
    some = positions[:5000]
    agents = {p.agent for p in some}
    if len(some) < 20 or not all(is_number(agent) for agent in agents):
        return
    given = _typical_step([(p.agent, p.time, p.x, p.y) for p in some])
    swapped = _typical_step([(str(p.time), float(p.agent), p.x, p.y) for p in some])
    if swapped < 0.3 * given or (np.isinf(given) and len({p.time for p in some}) < 0.2 * len(agents)):
        raise InputError(
            f"{path}: expected frame, agent, x, y without a header, but the first column seems to be the agent: give a "
            "first line that names the columns"
        )


def _typical_step(rows: Sequence[tuple[str, float, float, float]]) -> float:
    ordered = sorted(rows)
    steps = [np.hypot(b[2] - a[2], b[3] - a[3]) for a, b in pairwise(ordered) if a[0] == b[0]]
    return float(np.median(steps)) if len(steps) > len(rows) / 4 else np.inf


def _json_positions(path: Path, lines: Sequence[str]) -> list[_Position]:
    """TrajNet++: one JSON object per line, positions under "track"."""
    found = []
    for i, line in enumerate(lines, 1):
        try:
            track = json.loads(line).get("track") if line.strip() else None
            if track is not None:
                x, y = float(track["x"]), float(track["y"])
                if not (abs(x) < _LARGEST and abs(y) < _LARGEST):
                    raise ValueError(line)
                found.append(_Position(i, float(track["f"]), str(track["p"]), x, y))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f'{path}, line {i}: expected {{"track": {{f, p, x, y}}}}, got {line[:60]!r}') from None
    return found


def _tracks(path: Path, positions: Sequence[_Position], notes: tuple[str, ...]) -> Tracks:
    agent = _agent_numbers([p.agent for p in positions])
    time = np.array([p.time for p in positions])
    order: np.ndarray = np.lexsort((time, agent))
    twice = np.flatnonzero((np.diff(time[order]) == 0) & (np.diff(agent[order]) == 0))
    if len(twice):
        one, other = (positions[int(order[k])] for k in (twice[0], twice[0] + 1))
        raise InputError(
            f"{path}: expected one position an agent and frame, got two of agent {one.agent} in frame {one.time:g} "
            f"(lines {one.line} and {other.line}): remove one, or give each recording a file of its own"
        )
    try:
        frame, more = frames_of_times(time[order], agent[order])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    xy = np.array([(p.x, p.y) for p in positions])[order]
    name = path.name.split(".")[0]
    return Tracks(torch.from_numpy(agent[order]), torch.from_numpy(frame), torch.from_numpy(xy), name, notes + more)


def _agent_numbers(agents: Sequence[str]) -> np.ndarray:
    """A number for each agent: its own where all are whole numbers, else that of its name in their order."""
    kinds, inverse = np.unique(np.array(agents), return_inverse=True)
    try:
        values = np.array([float(kind) for kind in kinds])
    except ValueError:
        return inverse.astype(np.int64)
    if (values != np.floor(values)).any() or np.abs(values).max() >= 2**53:
        return inverse.astype(np.int64)
    return values[inverse].astype(np.int64)


def _folder(root: Path, name: str, inside: str) -> Path:
    for folder in (root / name, root):
        if (folder / inside).exists():
            return folder
    raise InputError(f"expected {name}/{inside} in {root}, found none: see the data set's own page for the files")


def _either(path: Path) -> Path:
    """The file, plain or gzipped."""
    return path if path.exists() else path.with_name(path.name + ".gz")


def looks_like_tracks(lines: Sequence[str]) -> bool:
    """Whether the first lines of a file are tracks: by their header, a known layout, or four numbers per line."""
    rows = [row for _, row in _rows(lines)]
    if not rows:
        return False
    header = {plain_name(word) for word in rows[0]}
    if all(header & set(names) for names in NAMES.values()):
        return True
    if layout_of(rows) is not None:
        return True
    numbers = [row for row in rows if "?" not in row]
    if not numbers or not all(len(row) == 4 and all(is_number(row[k]) for k in (0, 2, 3)) for row in numbers):
        return False
    words = not all(is_number(row[1]) for row in numbers)
    if not words and all(float(value) == round(float(value)) for row in numbers for value in row[:2]):
        return True
    return (words or all(float(row[1]).is_integer() for row in numbers)) and _is_clocked(numbers)


def _is_clocked(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column is a clock: from a row of an agent to its next, it nearly always advances as much."""
    last: dict[str, float] = {}
    steps = []
    for row in rows:
        time = float(row[0])
        if row[1] in last:
            steps.append(time - last[row[1]])
        last[row[1]] = time
    usual = float(np.median(steps)) if len(steps) >= 5 else 0.0
    return usual > 0 and sum(abs(step / usual - 1) < 0.2 for step in steps) >= 0.8 * len(steps)


def split_recordings(recordings: Sequence[Tracks], train: bool, window: int = PAST + FUTURE) -> list[Tracks]:
    """Training or held-out recordings: every fifth is held out; of a single one, the last fifth of its time.

    If that holds no agent for a whole window of positions, every fifth agent is held out instead, of those that are
    seen for so long.
    """
    if len(recordings) == 1:
        early, late = recordings[0].split(0.8)
        long = _seen_for(recordings[0], window)
        if len(_seen_for(late, window)) or len(long) < 2:
            return [early if train else late]
        return [_of_agents(recordings[0], long[min(4, len(long) - 1) :: 5], not train)]
    held = min(4, len(recordings) - 1)
    return [r for i, r in enumerate(recordings) if (i % 5 == held) != train]


def _seen_for(recording: Tracks, window: int) -> Tensor:
    """Agents with so many positions in a row."""
    try:
        return cut([recording], window, 0).agent.unique()
    except InputError:
        return recording.agent[:0]


def _of_agents(recording: Tracks, agents: Tensor, inside: bool) -> Tracks:
    rows = torch.isin(recording.agent, agents) == inside
    note = f"{len(agents)} agents held out, for the last fifth of the time is too short to test on"
    kept = recording.agent[rows], recording.frame[rows], recording.xy[rows]
    return Tracks(*kept, recording.name, (*recording.notes, note))
