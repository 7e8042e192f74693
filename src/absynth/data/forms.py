"""Columns of cells as numbers: decimal commas, thousands, units and dates; anything else is words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Literal, NamedTuple

import numpy as np

from absynth.data.labels import MARKS

_INTEGER = r"[+-]?\d+"
_EXPONENT = r"(?:[eE][+-]?\d+)?"
DECIMAL_COMMA = re.compile(rf"[+-]?\d*,\d+{_EXPONENT}|{_INTEGER}{_EXPONENT}")
"""A number with a comma for its point, or a whole one."""
_THOUSANDS_COMMA = re.compile(rf"[+-]?\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|{_INTEGER}(?:\.\d+)?")
_THOUSANDS_DOT = re.compile(rf"[+-]?\d{{1,3}}(?:\.\d{{3}})+(?:,\d+)?|{_INTEGER}(?:,\d+)?")
_THOUSANDS_SPACE = re.compile(rf"[+-]?\d{{1,3}}(?:[ '’\u00a0\u202f]\d{{3}})+(?:[.,]\d+)?|{_INTEGER}(?:[.,]\d+)?")
_UNIT = re.compile(r"^[$€£]\s?|\s?[%$€£]$")
_ISO = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?|/(\d{1,2})/(\d{1,2})|\.(\d{1,2})\.(\d{1,2}))"
    r"(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?))?(Z|[+-]\d\d:?\d\d)?"
)
_COMPACT = re.compile(r"((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_NAMED = re.compile(r"(?:(\d{1,2})[- ]([A-Za-z]{3,9})[- ]|([A-Za-z]{3,9}) (\d{1,2}),? )(\d{4})")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d)?(?: ?[AaPp][Mm])?")
_UNCLEAR = re.compile(r"\d\d?([-/.])\d\d?\1\d\d|.*\d{4}.* \d{1,2}:\d\d(?::\d\d)? ?[AaPp][Mm]")
_CENSORED = re.compile(r"[<>≤≥~≈]=?\s*[+-]?\d[\d.,]*")
_DAY_FIRST = re.compile(r"(\d{1,2})([./])(\d{1,2})\2(\d{4})")

Form = Literal["plain", "decimal comma", "thousands comma", "thousands dot", "thousands space", "date", "words"]


class Values(NamedTuple):
    """A column as it is learned from."""

    form: Form
    numbers: np.ndarray
    """``[n]`` float64; NaN where a value is missing or no number. Of words, all NaN."""
    missing: np.ndarray
    """``[n]``, where a mark of a missing value stands."""


def read_column(cells: np.ndarray, *, decimal_comma: bool | None = None) -> Values:
    """Read a column as numbers, dates or words, whichever its cells are.

    Args:
        cells: Strings, or float64 with NaN where a value is missing.
        decimal_comma: Whether 1,234 is a bit more than one; None refuses a column in which every comma may be either.

    Raises:
        ValueError: It cannot be decided; the message is a phrase.
    """
    if cells.dtype.kind == "f":
        return Values("plain", cells, np.isnan(cells))
    kinds, inverse = np.unique(cells, return_inverse=True)
    counts = np.bincount(inverse, minlength=len(kinds))
    missing = np.array([kind.lower() in MARKS for kind in kinds], dtype=bool)
    given = [kind for kind, gone in zip(kinds.tolist(), missing) if not gone]
    weights = counts[~missing]
    form, parsed = _best(given, weights, decimal_comma)
    numbers = np.full(len(kinds), np.nan)
    numbers[~missing] = parsed
    if form == "plain":
        _require_digits(given, parsed)
    return Values(form, numbers[inverse], missing[inverse])


def uses_decimal_comma(columns: Sequence[np.ndarray]) -> bool | None:
    """What the columns of a sheet say together: True, False, or None where no column decides."""
    for column in columns:
        if column.dtype.kind == "f":
            continue
        cells = [c for c in np.unique(column).tolist() if c.lower() not in MARKS]
        with_comma = [c for c in cells if "," in c]
        if not with_comma:
            continue
        decimal = all(DECIMAL_COMMA.fullmatch(c) for c in cells) or all(_THOUSANDS_DOT.fullmatch(c) for c in cells)
        thousands = all(_THOUSANDS_COMMA.fullmatch(c) for c in cells)
        if decimal != thousands:
            return decimal
    return None


def _best(given: list[str], weights: np.ndarray, decimal_comma: bool | None) -> tuple[Form, list[float]]:
    total = max(1, int(weights.sum()))
    plain = [_nan(as_float(cell)) for cell in given]
    dotted = [c for c in given if "." in c]
    if decimal_comma and dotted and all(_THOUSANDS_DOT.fullmatch(c) for c in given):
        return "thousands dot", [_nan(as_float(c.replace(".", "").replace(",", "."))) for c in given]
    share = float(weights[~np.isnan(plain)].sum()) / total
    if share == 1 and given and all(_COMPACT.fullmatch(c) for c in given):
        days = days_of(given)
        return ("plain", plain) if np.isnan(days).any() else ("date", days)
    if share == 1 or not given:
        return "plain", plain
    _require_one_unit(given)
    bare = [_UNIT.sub("", c.replace("−", "-")) for c in given]
    readings: list[tuple[Form, list[float]]] = [("plain", [_nan(as_float(c)) for c in bare])]
    decimal = [_nan(as_float(c.replace(",", "."))) if DECIMAL_COMMA.fullmatch(c) else np.nan for c in bare]
    thousands = [_nan(as_float(c.replace(",", ""))) if _THOUSANDS_COMMA.fullmatch(c) else np.nan for c in bare]
    both = any("," in c for c in bare) and not np.isnan(decimal).any() and not np.isnan(thousands).any()
    if both and decimal_comma is None:
        cell = next(c for c in bare if "," in c)
        raise ValueError(
            f'"{cell}" may be {cell.replace(",", ".")} or {cell.replace(",", "")}: write it without commas'
        )
    if not both or decimal_comma:
        readings.append(("decimal comma", decimal))
    if not both or not decimal_comma:
        readings.append(("thousands comma", thousands))
    dot = [c.replace(".", "").replace(",", ".") if _THOUSANDS_DOT.fullmatch(c) else "" for c in bare]
    readings.append(("thousands dot", [_nan(as_float(c)) for c in dot]))
    gaps = r"[ '’\u00a0\u202f]"
    joined = [re.sub(gaps, "", c).replace(",", ".") if _THOUSANDS_SPACE.fullmatch(c) else "" for c in bare]
    readings.append(("thousands space", [_nan(as_float(c)) for c in joined]))
    readings.append(("date", days_of(given)))
    shares = [float(weights[~np.isnan(values)].sum()) / total for _, values in readings]
    best = int(np.argmax(shares))
    if shares[best] >= 0.5:
        return readings[best]
    if share + float(weights[[bool(_CENSORED.fullmatch(c)) for c in given]].sum()) / total >= 0.5:
        return readings[0]  # numbers, some of which are only bounded: they are refused, not learned as words
    if all(_UNCLEAR.fullmatch(c) for c in given):
        raise ValueError(f'"{given[0]}" is a date in a form that is not read: write dates as YYYY-MM-DD HH:MM')
    if all(_CLOCK.fullmatch(c) for c in given):
        raise ValueError(f'"{given[0]}" is a time of day: write it as a number, 12.5 for half past twelve')
    return "words", [np.nan] * len(given)


def _require_digits(cells: Sequence[str], numbers: Sequence[float]) -> None:
    """Raise a ValueError if cells that differ have the same number: float64 has 16 digits."""
    long = [c for c in cells if len(c) > 15]
    if not long or len(set(numbers)) == len(cells):
        return
    exact = set()
    for cell in cells:
        try:
            exact.add(Decimal(cell))
        except InvalidOperation:
            exact.add(cell)
    if len(exact) > len(set(numbers)):
        raise ValueError(f'"{long[0]}" differs from others beyond 16 digits: subtract a constant, or remove the column')


def _require_one_unit(cells: Sequence[str]) -> None:
    """Raise a ValueError if numbers in several units stand in a column; % is a unit, and none beside it is another."""
    found: dict[str, str] = {}
    for cell in cells:
        unit = next((sign for sign in "$€£%" if sign in cell), "")
        if as_float(_UNIT.sub("", cell.replace(",", ""))) is not None:
            found.setdefault(unit, cell)
    if len(found) > 1 and (len(set(found) - {""}) > 1 or "%" in found):
        one, other = list(found.values())[:2]
        raise ValueError(f'"{one}" and "{other}" are in different units: write all in one')


def days_of(cells: list[str]) -> list[float]:
    """Days since 1970-01-01 of dates; NaN for anything else."""
    short = [m for c in cells if (m := _DAY_FIRST.fullmatch(c))]
    day_first = any(m[2] == "." or int(m[1]) > 12 for m in short)
    month_first = any(m[2] == "/" and int(m[3]) > 12 for m in short)
    if short and not day_first and not month_first:
        raise ValueError(f'"{short[0][0]}" may begin with the day or the month: write dates as YYYY-MM-DD')
    found = []
    for cell in cells:
        stamp, offset = "", 0.0
        if match := _ISO.fullmatch(cell):
            year, *parts, clock, zone = match.groups()
            offset = _offset(zone or "")
            month, day = (*(part for part in parts if part), "1")[:2]
            stamp = f"{year}-{int(month):02d}-{int(day):02d}T{clock or '00:00'}"
        elif match := _COMPACT.fullmatch(cell):
            stamp = "-".join(match.groups())
        elif match := _NAMED.fullmatch(cell):
            month = (match[2] or match[3])[:3].lower()
            number = _MONTHS.index(month) + 1 if month in _MONTHS else 0  # no month: no date
            stamp = f"{match[5]}-{number:02d}-{int(match[1] or match[4]):02d}"
        elif match := _DAY_FIRST.fullmatch(cell):
            day, month = (match[1], match[3]) if day_first else (match[3], match[1])
            stamp = f"{match[4]}-{int(month):02d}-{int(day):02d}"
        try:
            found.append(float(np.datetime64(stamp, "ns").astype(np.int64)) / 86_400e9 - offset if stamp else np.nan)
        except ValueError:
            found.append(np.nan)
    return found


def _offset(zone: str) -> float:
    """Days that a time zone is ahead."""
    digits = re.sub(r"\D", "", zone)
    return (-1 if zone[:1] == "-" else 1) * (int(digits[:2]) / 24 + int(digits[2:]) / 1440) if digits else 0.0


def as_float(cell: str) -> float | None:
    """The number that a cell is written as; None for none, and for NaN."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if value != value else value


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
