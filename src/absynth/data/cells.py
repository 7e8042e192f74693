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

import numpy as np

from absynth.data.forms import DECIMAL_COMMA, as_float
from absynth.data.labels import MARKS
from absynth.errors import InputError

LARGEST = 1e100
"""Larger numbers are refused: their squares do not fit into float64."""

_SEPARATORS = (",", ";", "\t", "|")


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
        raise InputError(f"{path}: expected a header and rows, got an empty file: give another")
    notes: list[str] = []
    first = [cell.strip() for cell in rows[0]]
    rest = rows[1:]
    if _is_header(first, rest[:100]):
        names, rows, lines = first, rest, lines[1:]
    else:
        names = [f"x{i}" for i in range(len(first))]
        names_are = "the column is called x0" if len(first) == 1 else f"columns are called x0 to x{len(first) - 1}"
        notes.append(f"no header: {names_are}")
    if not rows:
        raise InputError(f"{path}: expected a header and rows, got a header alone: add rows")
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
        raise InputError(
            f"{path}: expected a header with a name of its own for each column, got {names[:20]}: name them apart"
        )
    return Sheet(names, columns, [f"line {line}" for line in lines], str(path), notes)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, MemoryError) as error:
        raise InputError(
            f"{path}: expected a table as text in utf-8, got another file ({_line(error)}): save it as CSV in utf-8"
        ) from None
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
    before = 0
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        for row in reader:
            if row and any(cell.strip() for cell in row):
                rows.append(row if reader.line_num == before + 1 else _on_one_line(row, separator))
                lines.append(before + 1 + skipped)
            before = reader.line_num
    except csv.Error as error:
        raise InputError(
            f'{path}, line {before + 1 + skipped}: expected cells with quotes in pairs, got others ({error}): write "" '
            "for a quote inside a cell"
        ) from None
    return separator, rows, lines


def _on_one_line(row: Sequence[str], separator: str) -> list[str]:
    """Cells whose inner line breaks are spaces.

    Raises:
        csv.Error: A cell holds whole rows, for a quote was not closed where it should.
    """
    for cell in row:
        inside = re.split(r"\r\n|\n|\r", cell)[1:-1]
        if len(row) > 1 and any(line.count(separator) == len(row) - 1 for line in inside):
            raise csv.Error("a cell that holds whole rows")
    return [" ".join(cell.split()) if "\n" in cell or "\r" in cell else cell for cell in row]


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
    return bool(cell) and (as_float(cell) is not None or bool(DECIMAL_COMMA.fullmatch(cell)))


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: none of its cells is a number, or it differs in kind from its column.

    Numbers name columns too: 0, 1, 2 ... as pandas writes them, or years beside a word that occurs in no other row.
    """
    if _counts_columns(first, rest):
        return True
    if not any(_looks_numeric(cell) for cell in first):
        below = [row[i] for row in rest for i in range(min(len(row), len(first)))]
        return not rest or set(first) != set(rest[0]) or not below
    for i, cell in enumerate(first):
        column = [row[i].strip() for row in rest if len(row) > i]
        numbers = sum(_looks_numeric(value) for value in column)
        if not _looks_numeric(cell) and cell.lower() not in MARKS and column and numbers > 0.5 * len(column):
            return True
    return False


def _counts_columns(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the numbers of a first row are names."""
    numbers = [cell for cell in first if _looks_numeric(cell)]
    if not rest or not numbers or not all(cell.isdecimal() for cell in numbers) or len(set(numbers)) < len(numbers):
        return False
    counted = numbers == [str(i) for i in range(len(numbers))] and list(first) != [c.strip() for c in rest[0]]
    if counted and (len(numbers) > 2 or not first[0]):
        return True
    for i, cell in enumerate(first):
        below = [row[i].strip() for row in rest if len(row) > i]
        words = [value for value in below if not _looks_numeric(value) and value.lower() not in MARKS]
        word = cell and not _looks_numeric(cell) and cell.lower() not in MARKS and cell not in words
        if word and len(words) == len(below) and 2 * len(set(words)) <= len(words):
            return True
    return False


def _counts_up(cells: np.ndarray) -> bool:
    start = cells[0] if len(cells) else ""
    return start in ("0", "1") and bool((cells == np.arange(int(start), int(start) + len(cells)).astype(str)).all())


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
