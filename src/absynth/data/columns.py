"""Columns of a sheet as numbers: which one holds classes, words one-hot, rows with missing values left out."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from absynth.data.cells import LARGEST, Sheet
from absynth.data.forms import Values, read_column
from absynth.data.labels import MARKS
from absynth.errors import InputError

NO_TARGET = "\0"
"""A name that no column has."""
NONE = "none"
"""What a user writes for :data:`NO_TARGET`, unless a column has that name."""

_TARGETS = frozenset({"y", "label", "labels", "class", "target", "species", "outcome", "category", "diagnosis"})
_MARKED = re.compile(r"\d\s*[:^~&#!/_]+\s*[\d\w]")  # a number beside a sign that may part cells
_MOST_WORDS = 1000  # different ones in a column


def set_marks(sheet: Sheet, missing: str) -> set[str]:
    """Empty the cells of a sheet that the user's marks of missing values stand in.

    Args:
        sheet: Changed in place.
        missing: Marks, apart by commas; "empty" stands for an empty cell.

    Returns:
        The marks in lower case; without any, a missing value is refused.
    """
    if not missing:
        return set()
    marks = {"" if mark.strip().lower() == "empty" else mark.strip().lower() for mark in missing.split(",")}
    numbers = numbers_in(marks)
    spelled = sorted(marks | {form for n in numbers for form in (f"{n:g}", f"{n:.1f}", f"{n:.2f}")})
    for i, column in enumerate(sheet.columns):
        if column.dtype.kind != "f":
            sheet.columns[i] = np.where(np.isin(np.char.lower(column), spelled), "", column)
        elif (gone := np.isin(column, numbers)).any():
            sheet.columns[i] = np.where(gone, "", column.astype(str))
    return marks


def numbers_in(marks: Iterable[str]) -> list[float]:
    """The marks of missing values that are numbers, such as -999."""
    found = []
    for mark in marks:
        try:
            found.append(float(mark))
        except ValueError:
            continue
    return [number for number in found if number == number]


def find_target(sheet: Sheet, decimal: bool | None) -> str:
    """The column of classes: the last one if it holds words, else one that is called as classes usually are.

    Such a column holds words, or whole numbers of which few differ; the last one goes before others, and the first
    before the rest.
    """
    if len(sheet.names) < 2:
        return NO_TARGET
    if _holds_classes(sheet, len(sheet.names) - 1, decimal, words=True):
        return sheet.names[-1]
    named = [i for i, name in enumerate(sheet.names) if name.strip().lower() in _TARGETS]
    return next((sheet.names[i] for i in named if _holds_classes(sheet, i, decimal)), NO_TARGET)


def _holds_classes(sheet: Sheet, i: int, decimal: bool | None, *, words: bool = False) -> bool:
    """Whether a column may hold classes; with ``words``, a column without a telling name must hold words."""
    name, cells = sheet.names[i], sheet.columns[i]
    if cells.dtype.kind != "f":
        cells = cells[cells != "-1"]  # it may mark unlabelled rows
    if not len(cells):
        return False
    try:
        values = read_column(cells, decimal_comma=decimal)
    except ValueError:
        return False
    different = len(np.unique(cells[~values.missing]))
    if different > max(20, len(cells) / 2):
        return False
    if values.form == "words":
        return True
    if different > max(20, len(cells) / 10):  # a quantity, such as the target of a regression
        return False
    numbers = values.numbers[~values.missing]
    whole = values.form == "plain" and bool((numbers == np.floor(numbers)).all())
    return whole and (not words or name.strip().lower() in _TARGETS)


def values_of(sheet: Sheet, name: str, cells: np.ndarray, decimal: bool | None) -> Values:
    """A column of a sheet, read; an InputError names it."""
    try:
        return read_column(cells, decimal_comma=decimal)
    except ValueError as error:
        raise InputError(f"{sheet.source}, column {name!r}: {error}") from None


def leave_out(
    sheet: Sheet, values: dict[str, Values], marks: set[str], *, like: bool = False
) -> tuple[Sheet, dict[str, Values]]:
    """Leave out rows with a missing value where the user gave marks.

    Args:
        sheet: The cells.
        values: Columns of it, read.
        marks: Of missing values.
        like: Whether the rows are for a trained model, which needs each of them.

    Raises:
        InputError: Another value is missing or no number, or is huge; the message names its place.
    """
    gone = np.zeros(len(sheet), dtype=bool)
    for name, found in values.items():
        cells = sheet.columns[sheet.names.index(name)]
        bad = found.missing if found.form == "words" else np.isnan(found.numbers)
        if marks:  # marked cells are empty now; a NaN among numbers is any of the usual marks
            chosen = np.isnan(cells) & bool(marks & MARKS) if cells.dtype.kind == "f" else cells == ""
            gone |= bad & chosen
            bad = bad & ~chosen
        if bad.any():
            first = int(np.argmax(bad))
            cell = "nan" if cells.dtype.kind == "f" else str(cells[first])
            what = "missing" if found.missing[first] else "no numbers"
            way = (
                "fill them in by absynth impute" if like else f"--missing_value {cell or 'empty'} leaves such rows out"
            )
            if bad.all() and not like:
                way = "remove the column"
            raise InputError(
                f"{sheet.source}, {sheet.places[first]}, column {name!r}: {int(bad.sum())} of {len(cells)} values are "
                f'{what} ("{cell}"): correct them, or {way}'
            )
        beyond = np.abs(found.numbers) > LARGEST
        if beyond.any():
            first = int(np.argmax(beyond))
            raise InputError(
                f"{sheet.source}, {sheet.places[first]}, column {name!r}: expected a number of at most {LARGEST:g}, "
                f"got {cells[first]}: correct it"
            )
    if not gone.any():
        return sheet, values
    kept = np.flatnonzero(~gone)
    if not len(kept):
        raise InputError(f"{sheet.source}: every row has a missing value: leave a column out, or --missing_value out")
    sheet = sheet.keep(kept)
    sheet.notes = [*sheet.notes, f"{int(gone.sum())} of {len(gone)} rows left out (missing values)"]
    return sheet, {n: Values(v.form, v.numbers[kept], v.missing[kept]) for n, v in values.items()}


def numbers_of(sheet: Sheet, values: dict[str, Values]) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers ``[n, d]`` and the name of each column; one column for each word of a column of words.

    Raises:
        InputError: A column holds too many different words.
    """
    parts: list[np.ndarray] = []
    columns: list[str] = []
    for name, found in values.items():
        if found.form != "words":
            parts.append(found.numbers[:, None])
            columns.append(name)
            continue
        words, inverse = np.unique(sheet.columns[sheet.names.index(name)], return_inverse=True)
        if len(words) > _MOST_WORDS or len(words) > max(20, len(sheet) / 2):
            if len(sheet.names) == 1 and all(_MARKED.search(word) for word in words.tolist()):
                raise InputError(
                    f"{sheet.source}: expected cells apart by , ; | a tab or spaces, got {str(words[0])[:40]!r}: write "
                    "one of them between cells"
                )
            raise InputError(
                f"{sheet.source}: column {name!r} holds {len(words)} different words in {len(sheet)} rows, such as "
                f"{str(words[0])!r}: names and free text cannot be learned from, remove the column, or "
                "save it as .txt, a line each, to learn the text"
            )
        one_hot = np.zeros((len(sheet), len(words)))
        one_hot[np.arange(len(sheet)), inverse] = 1
        parts.append(one_hot)
        columns += [f"{name}={word}" for word in words.tolist()]
    x = np.concatenate(parts, axis=1) if parts else np.zeros((len(sheet), 0))
    return torch.from_numpy(x), tuple(columns)
