"""Times of positions as frames: frame numbers as they are, clocks in steps of their most frequent interval."""

from __future__ import annotations

import re

import numpy as np

from absynth.data.forms import as_float, days_of
from absynth.errors import InputError

_JITTER = 0.2  # of an interval
_UNEVEN = 0.1  # share of differences that may be no multiple of the interval


def frames_of_times(time: np.ndarray, agent: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Frame of each position, int64 ``[n]``, and a note where times were not taken as frames.

    Whole numbers with a constant interval are frames. Of other clocks (seconds, or milliseconds with jitter) the
    interval is the most frequent difference, differences within a fifth of a multiple of it count as that multiple,
    and any other begins a new piece of track.

    Args:
        time: Sorted within each agent, float64 ``[n]``.
        agent: Number of the agent, ``[n]``, in blocks.

    Raises:
        InputError: More than a tenth of the differences are no multiples.

    >>> frames_of_times(np.array([0.0, 0.4, 0.81, 1.6]), np.zeros(4))[0]
    array([0, 1, 2, 4])
    """
    same = np.diff(agent) == 0
    steps = np.diff(time)[same]
    whole = bool((time == np.floor(time)).all()) and float(np.abs(time).max()) < 2**53
    if not len(steps) or (whole and _are_frames(steps)):
        return np.floor(time).astype(np.int64), ()
    interval = _interval(steps)
    count = np.maximum(1, np.round(np.diff(time) / interval)).astype(np.int64)
    # A gap of many intervals has room for their jitter too.
    uneven = same & (np.abs(np.diff(time) / interval - count) > _JITTER * np.sqrt(count))
    if uneven.sum() > _UNEVEN * len(steps):
        first = int(np.argmax(uneven))
        raise InputError(
            f"expected times at even intervals, got {int(uneven.sum())} of {len(steps)} differences that are no "
            f"multiple of {interval:.6g}, such as {time[first]:.10g} to {time[first + 1]:.10g}: resample the tracks"
        )
    count = count + uneven  # never an interval: the track breaks here
    frame = np.empty(len(time), dtype=np.int64)
    begins = np.flatnonzero(np.concatenate([[True], ~same]))
    for begin, end in zip(begins, [*begins[1:], len(time)], strict=True):
        frame[begin] = round((time[begin] - time.min()) / interval)
        frame[begin + 1 : end] = frame[begin] + np.cumsum(count[begin : end - 1])
    return frame, (f"times in steps of {interval:.6g}",)


def seconds_of(cell: str) -> float:
    """A time as a number: of a date or a clock, in seconds; of anything else as it is written.

    Raises:
        ValueError: It is none of them.

    >>> [seconds_of(cell) for cell in ("12", "0.4", "00:01:30.5", "1970-01-02 00:00:01")]
    [12.0, 0.4, 90.5, 86401.0]
    """
    number = as_float(cell)
    if number is not None:
        return number
    clock = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", cell)
    if clock:
        return 3600 * float(clock[1]) + 60 * float(clock[2]) + float(clock[3])
    days = days_of([cell])[0]
    if np.isnan(days):
        raise ValueError(cell)
    return round(86_400 * days, 6)


def _are_frames(steps: np.ndarray) -> bool:
    """Whether one difference of frame numbers prevails, and hardly any other is close to it as those of a clock are."""
    kinds, counts = np.unique(steps, return_counts=True)
    usual = kinds[counts.argmax()]
    close = counts[(np.abs(kinds - usual) <= _JITTER * usual) & (kinds != usual)].sum()
    return bool(counts.max() >= 0.5 * len(steps) and close <= 0.05 * len(steps))


def _interval(steps: np.ndarray) -> float:
    """The most frequent difference: the median of those that most others are close to."""
    ordered = np.sort(steps)
    near = np.searchsorted(ordered, ordered * (1 + _JITTER)) - np.searchsorted(ordered, ordered * (1 - _JITTER))
    center = ordered[int(np.argmax(near))]
    return float(np.median(ordered[np.abs(ordered - center) <= _JITTER * center]))
