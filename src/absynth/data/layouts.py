"""Layouts of files of tracks: names of columns, and known layouts without a header."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from absynth.errors import InputError

NAMES: dict[str, tuple[str, ...]] = {
    "frame": (
        "frame", "frame_id", "frameid", "frame_number", "frame_no", "frame_idx", "framenum", "f", "time", "t",
        "timestamp", "timestamp_ms", "time_s", "seconds", "sec",
    ),
    "agent": (
        "agent", "agent_id", "agentid", "track", "track_id", "trackid", "pedestrian", "pedestrian_id", "ped", "ped_id",
        "pedid", "person", "person_id", "vehicle_id", "vehicleid", "object_id", "obj_id", "target_id", "node_id", "p",
        "id",
    ),
    "x": ("x", "pos_x", "x_pos", "position_x", "px", "x_center", "xcenter", "center_x", "local_x", "x_m"),
    "y": ("y", "pos_y", "y_pos", "position_y", "py", "y_center", "ycenter", "center_y", "local_y", "y_m"),
}  # fmt: skip
"""What a header may call each column, in lower case, the preferred name first."""


class Layout(NamedTuple):
    """A layout without a header."""

    columns: int
    about: str
    fits: Callable[[Sequence[Sequence[str]]], bool]
    """Whether rows of so many columns are written in it."""
    read: Callable[[Sequence[str]], list[str] | None]
    """Frame, agent, x and y of a row; None for a row without a position."""


def is_number(word: str) -> bool:
    """Whether a word is a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def plain_name(word: str) -> str:
    """The name of a column in lower case, without quotes and unit: ``"X [m]"`` is x."""
    bare = re.sub(r"[\[(].*$", "", word.strip().strip("\"'")).strip().lower()
    return re.sub(r"[\s\-]+", "_", bare)


def columns_of_header(path: Path, words: Sequence[str]) -> tuple[int, int, int, int]:
    """Where frame, agent, x and y stand.

    Raises:
        InputError: One of them has no name that is known.
    """
    header = [plain_name(word) for word in words]
    found = []
    for what, names in NAMES.items():
        place = next((header.index(name) for name in names if name in header), -1)
        if place < 0:
            got = " ".join(words)[:80]
            raise InputError(f"{path}: expected columns frame, agent, x, y, got {got!r}: name one {what}")
        found.append(place)
    return tuple(found)  # type: ignore[return-value]


def ngsim_parts(words: Sequence[str]) -> tuple[int, ...]:
    """Columns that tell vehicles apart besides their number, in NGSIM's tables: several share a number there."""
    header = [plain_name(word) for word in words]
    if not {"vehicle_id", "total_frames", "local_x"} <= set(header):
        return ()
    return tuple(header.index(name) for name in ("total_frames", "location") if name in header)


def layout_of(rows: Sequence[Sequence[str]]) -> str | None:
    """The known layout of rows without a header, by their number of columns and their values."""
    width = {len(row) for row in rows}
    if len(width) != 1:
        return None
    columns = width.pop()
    for name, layout in LAYOUTS.items():
        if layout.columns == columns and layout.fits(rows):
            return name
    return None


def _is_obsmat(rows: Sequence[Sequence[str]]) -> bool:
    if not all(is_number(word) for row in rows for word in row):
        return False
    whole = all(float(row[k]).is_integer() for row in rows for k in (0, 1))
    return whole and all(float(row[k]) == 0 for row in rows for k in (3, 6))  # height and its speed


def _is_sdd(rows: Sequence[Sequence[str]]) -> bool:
    words = all(row[9][:1] in "\"'" or not is_number(row[9]) for row in rows)
    return words and all(is_number(word) for row in rows for word in row[:9]) and all(row[6] in "01" for row in rows)


def _is_ngsim(rows: Sequence[Sequence[str]]) -> bool:
    if not all(is_number(word) for row in rows for word in row):
        return False
    return all(float(row[k]).is_integer() for row in rows for k in (0, 1, 2, 3)) and float(rows[0][3]) > 1e11


LAYOUTS: dict[str, Layout] = {
    "obsmat": Layout(
        8, "ETH's obsmat.txt: frame, agent, x, height, y and speeds", _is_obsmat,
        lambda row: [row[0], row[1], row[2], row[4]],
    ),
    "sdd": Layout(
        10, "Stanford Drone's annotations.txt: centres of boxes, lost ones left out", _is_sdd,
        lambda row: None if row[6] == "1" else [
            row[5], row[0], str((float(row[1]) + float(row[3])) / 2), str((float(row[2]) + float(row[4])) / 2)
        ],
    ),
    "ngsim": Layout(
        18, "NGSIM's text files: Local_X and Local_Y in feet", _is_ngsim, lambda row: [row[1], row[0], row[4], row[5]]
    ),
}  # fmt: skip
"""Known layouts without a header."""
