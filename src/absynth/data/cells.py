"""Cells of tables as people write them: separators, headers, decimal commas, thousands, dates and missing values."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from absynth.data.labels import MARKS
from absynth.errors import InputError

LARGEST = 1e100
"""Larger numbers are refused: their squares do not fit into float64."""

_SEPARATORS = (",", ";", "\t", "|")
_INTEGER = r"[+-]?\d+"
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_DECIMAL_COMMA = re.compile(rf"[+-]?\d*,\d+{_EXPONENT}|{_INTEGER}{_EXPONENT}")
_THOUSANDS_COMMA = re.compile(rf"[+-]?\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|{_INTEGER}(?:\.\d+)?")
_THOUSANDS_DOT = re.compile(rf"[+-]?\d{{1,3}}(?:\.\d{{3}})+(?:,\d+)?|{_INTEGER}(?:,\d+)?")
_THOUSANDS_SPACE = re.compile(rf"[+-]?\d{{1,3}}(?:[ '’\u00a0\u202f]\d{{3}})+(?:[.,]\d+)?|{_INTEGER}(?:[.,]\d+)?")
_UNIT = re.compile(r"^[$€£]\s?|\s?[%$€£]$")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?))?(?:Z|[+-]\d\d:?\d\d)?")
_DAY_FIRST = re.compile(r"(\d{1,2})([./])(\d{1,2})\2(\d{4})")

Form = Literal["plain", "decimal comma", "thousands comma", "thousands dot", "thousands space", "date", "words"]


@dataclass
class Sheet:
    """Columns of cells: words, or numbers with NaN where a value is missing.

    Attributes:
        names: Name of each column.
        columns: ``[n]`` each, of strings or float64.
        places: Where each row stands, for messages: "line 7".
        source: What the sheet was read from, for messages.
        notes: What was found or left out, one phrase each.
    """

    names: list[str]
    columns: list[np.ndarray]
    places: Sequence[str]
    source: str
    notes: list[str]

    def __len__(self) -> int:
        return len(self.places)

    def keep(self, rows: np.ndarray) -> Sheet:
        """Some of the rows."""
        chosen: list[int] = rows.tolist()
        places = [self.places[i] for i in chosen]
        return Sheet(self.names, [c[rows] for c in self.columns], places, self.source, self.notes)


def read_sheet(path: Path) -> Sheet:
    """A file of cells apart by commas, semicolons, tabs, bars or spaces, with or without a header.

    Raises:
        InputError: It is no text, its rows differ in length, or two columns have one name.
    """
    text = _text(path)
    separator, rows, lines = _split(path, text)
    if not rows:
        raise InputError(f"{path}: expected a header and rows, got 0 lines")
    notes: list[str] = []
    first = [cell.strip() for cell in rows[0]]
    rest = rows[1:]
    if _is_header(first, rest[:100]):
        names, rows, lines = first, rest, lines[1:]
    else:
        names = [f"x{i}" for i in range(len(first))]
        notes.append(f"no header: columns are called x0 to x{len(first) - 1}")
    if not rows:
        raise InputError(f"{path}: expected a header and rows, got {len(rest) + 1} lines")
    for line, row in zip(lines, rows):
        if len(row) != len(names):
            named = {"\t": "a tab", " ": "a space"}.get(separator, repr(separator))
            raise InputError(
                f"{path}, line {line}: expected {len(names)} cells apart by {named} as in the header, got {len(row)}: "
                "correct the line"
            )
    columns = [np.char.strip(np.array(column, dtype=str)) for column in zip(*rows)]
    while not names[-1] and len(names) > 1 and not (columns[-1] != "").any():  # a separator at the end of each line
        names, columns = names[:-1], columns[:-1]
    if not names[0] and len(names) > 1 and _counts_up(columns[0]):
        names, columns = names[1:], columns[1:]
        notes.append("row numbers (the first column) left out")
    if len(set(names)) < len(names) or not all(names):
        raise InputError(f"{path}: expected a header with a name of its own for each column, got {names[:20]}")
    return Sheet(names, columns, [f"line {line}" for line in lines], str(path), notes)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, MemoryError) as error:
        raise InputError(f"{path}: expected a table as text in utf-8, got another file ({_line(error)})") from None
    if "\0" in text:
        raise InputError(f"{path}: expected a table as text, got a file with zero bytes: save it as CSV in utf-8")
    return text


def _split(path: Path, text: str) -> tuple[str, list[list[str]], list[int]]:
    """Separator, rows of cells and the line of each; comments before the header are left out."""
    skipped = 0
    while text[:1] == "#" or re.match(r"sep=.\r?\n", text):
        comment, _, rest = text.partition("\n")
        if not rest.strip() or (comment[:1] == "#" and _header_in_comment(comment, rest)):
            text = text[1:].lstrip(" ") if comment[:1] == "#" else rest
            break
        text, skipped = rest, skipped + 1
    separator = _separator(text)
    if separator == " ":
        split = [(i, line.split()) for i, line in enumerate(re.split(r"\r\n|\n|\r", text), 1)]
        found = [(i, row) for i, row in split if row]
        return separator, [row for _, row in found], [i + skipped for i, _ in found]
    rows, lines = [], []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        before = 0
        for row in reader:
            if row and any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(before + 1 + skipped)
            before = reader.line_num
    except csv.Error as error:
        raise InputError(f"{path}, line {len(lines) + 1}: expected a table as text, got {error}") from None
    return separator, rows, lines


def _header_in_comment(comment: str, rest: str) -> bool:
    """Whether a comment has as many words as the line after it has cells: the header as numpy.savetxt writes it."""
    row = rest.partition("\n")[0]
    separator = _separator(rest)
    if separator == " ":
        return len(comment[1:].split()) == len(row.split())
    return len(comment.split(separator)) == len(row.split(separator)) > 1


def _separator(text: str) -> str:
    """The separator that cuts the first lines into equally many cells, most of them numbers."""
    best, best_score = ",", (0.0, 0.0)
    for separator in _SEPARATORS:
        try:
            rows = list(islice(csv.reader(io.StringIO(text[: 1 << 18], newline=""), delimiter=separator), 100))
        except csv.Error:
            continue
        rows = [row for row in rows if row and any(cell.strip() for cell in row)]
        if not rows or len(rows[0]) < 2:
            continue
        same = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        cells = [cell.strip() for row in rows[1:] for cell in row]
        numbers = sum(_looks_numeric(cell) for cell in cells) / max(1, len(cells))
        if (same, numbers) > best_score:
            best, best_score = separator, (same, numbers)
    if best_score == (0.0, 0.0):
        lines = [line.split() for line in re.split(r"\r\n|\n|\r", text[: 1 << 16])[:100]]
        lengths = {len(line) for line in lines[:-1] if line} or {len(line) for line in lines if line}
        if len(lengths) == 1 and lengths.pop() > 1:
            return " "
    return best


def _looks_numeric(cell: str) -> bool:
    return bool(cell) and (_float(cell) is not None or bool(_DECIMAL_COMMA.fullmatch(cell)))


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: none of its cells is a number, or it differs in kind from its column."""
    if not any(_looks_numeric(cell) for cell in first):
        below = [row[i] for row in rest for i in range(min(len(row), len(first)))]
        return not rest or set(first) != set(rest[0]) or not below
    for i, cell in enumerate(first):
        column = [row[i].strip() for row in rest if len(row) > i]
        numbers = sum(_looks_numeric(value) for value in column)
        if not _looks_numeric(cell) and cell.lower() not in MARKS and column and numbers > 0.5 * len(column):
            return True
    return False


def _counts_up(cells: np.ndarray) -> bool:
    start = cells[0] if len(cells) else ""
    return start in ("0", "1") and bool((cells == np.arange(int(start), int(start) + len(cells)).astype(str)).all())


# --- columns --------------------------------------------------------------------------------------------------------


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
        decimal = all(_DECIMAL_COMMA.fullmatch(c) for c in cells) or all(_THOUSANDS_DOT.fullmatch(c) for c in cells)
        thousands = all(_THOUSANDS_COMMA.fullmatch(c) for c in cells)
        if decimal != thousands:
            return decimal
    return None


def _best(given: list[str], weights: np.ndarray, decimal_comma: bool | None) -> tuple[Form, list[float]]:
    total = max(1, int(weights.sum()))
    plain = [_nan(_float(cell)) for cell in given]
    dotted = [c for c in given if "." in c]
    if decimal_comma and dotted and all(_THOUSANDS_DOT.fullmatch(c) for c in given):
        return "thousands dot", [_nan(_float(c.replace(".", "").replace(",", "."))) for c in given]
    share = float(weights[~np.isnan(plain)].sum()) / total
    if share == 1 or not given:
        return "plain", plain
    bare = [_UNIT.sub("", c.replace("−", "-")) for c in given]
    readings: list[tuple[Form, list[float]]] = [("plain", [_nan(_float(c)) for c in bare])]
    decimal = [_nan(_float(c.replace(",", "."))) if _DECIMAL_COMMA.fullmatch(c) else np.nan for c in bare]
    thousands = [_nan(_float(c.replace(",", ""))) if _THOUSANDS_COMMA.fullmatch(c) else np.nan for c in bare]
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
    dot = [_nan(_float(c.replace(".", "").replace(",", "."))) if _THOUSANDS_DOT.fullmatch(c) else np.nan for c in bare]
    readings.append(("thousands dot", dot))
    space = [
        _nan(_float(re.sub(r"[ '’\u00a0\u202f]", "", c).replace(",", "."))) if _THOUSANDS_SPACE.fullmatch(c) else np.nan
        for c in bare
    ]
    readings.append(("thousands space", space))
    readings.append(("date", _dates(given)))
    shares = [float(weights[~np.isnan(values)].sum()) / total for _, values in readings]
    best = int(np.argmax(shares))
    if shares[best] >= 0.5:
        return readings[best]
    return "words", [np.nan] * len(given)


def _dates(cells: list[str]) -> list[float]:
    """Days since 1970-01-01 of dates; NaN for anything else."""
    short = [m for c in cells if (m := _DAY_FIRST.fullmatch(c))]
    day_first = any(m[2] == "." or int(m[1]) > 12 for m in short)
    month_first = any(m[2] == "/" and int(m[3]) > 12 for m in short)
    if short and not day_first and not month_first:
        raise ValueError(f'"{short[0][0]}" may begin with the day or the month: write dates as YYYY-MM-DD')
    found = []
    for cell in cells:
        stamp = ""
        if match := _ISO.fullmatch(cell):
            stamp = f"{match[1]}T{match[2] or '00:00'}"
        elif match := _DAY_FIRST.fullmatch(cell):
            day, month = (match[1], match[3]) if day_first else (match[3], match[1])
            stamp = f"{match[4]}-{int(month):02d}-{int(day):02d}"
        try:
            found.append(float(np.datetime64(stamp, "ns").astype(np.int64)) / 86_400e9 if stamp else np.nan)
        except ValueError:
            found.append(np.nan)
    return found


def _float(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if value != value else value


def _nan(value: float | None) -> float:
    return np.nan if value is None else value


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
