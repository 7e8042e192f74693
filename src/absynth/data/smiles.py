"""SMILES in files of your own: which column they stand in, and what is no molecule."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from absynth.data.lines import read_lines
from absynth.errors import InputError

LEFT_OUT = 0.05
"""Share of lines that may be no molecules; they are counted and left out. More are refused."""

_NAMES = (
    "smiles", "canonical_smiles", "canonicalsmiles", "isomeric_smiles", "isomericsmiles", "smi", "smiles_string",
    "mol", "molecule", "structure",
)  # fmt: skip
_BRACKET = r"\[\d*(?:[A-Z][a-z]?|[a-z][a-z]?|\*)@{0,2}(?:@?[A-Z]{2}\d+)?H?\d*(?:[+-]+\d*)?(?::\d+)?\]"
_ATOM = rf"(?:Cl|Br|[BCNOPSFIbcnops*]|{_BRACKET})"
_WORD = re.compile(rf"{_ATOM}(?:{_ATOM}|[-=#$:/\\.()]|%\d\d|\d)*")
_BRACKETS = re.compile(r"\[[^\]]*\]")
_STRUCTURE = re.compile(r"[=#(]|c1|C1")  # of a molecule, and hardly of a word
_RINGS = re.compile(r"%\d\d|\d")


def is_smiles(text: str) -> bool:
    """Whether a word is written as a molecule: atoms, bonds, branches and rings that close. Valences are not checked.

    >>> [is_smiles(word) for word in ("CC(=O)[O-]", "c1ccccc1", "ZINC00001", "C1CC", "12")]
    [True, True, False, False, False]
    """
    if not _WORD.fullmatch(text) or text[-1] in "-=#$:/\\~.(":
        return False
    bare = _BRACKETS.sub("*", text) if "[" in text else text
    rings = _RINGS.findall(bare)
    if len(rings) % 2 or any(rings.count(ring) % 2 for ring in set(rings)):
        return False
    if "(" not in bare and ")" not in bare:
        return True
    depth = 0
    for sign in bare:
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            return False
    return not depth and "()" not in bare


def read_smiles(path: Path, *, column: str = "", skip_broken: bool = False) -> tuple[list[str], tuple[str, ...]]:
    """The molecules of a file, one per line, and what was left out.

    A header names the column (smiles, canonical_smiles, mol, structure ...); without one it is the first column that
    holds SMILES. Lines that begin with # are comments.

    Args:
        path: A file of lines, cells apart by commas, semicolons, tabs or spaces.
        column: Name of the column.
        skip_broken: Leave out lines that are no molecules, however many up to half.

    Raises:
        InputError: No column holds SMILES, or too many lines are no molecules.
    """
    lines = read_lines(path, "SMILES as text")
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered:
        return [], ()
    separator = next((s for s in ("\t", ";", ",") if s in numbered[0][1]), "")
    rows = [(i, _cells(line, separator)) for i, line in numbered]
    at, header = _column(path, [row for _, row in rows], column)
    rows = rows[1:] if header else rows
    found: list[str] = []
    bad: list[tuple[int, str]] = []
    for i, row in rows:
        word = (row[at].split() or [""])[0] if len(row) > at else ""
        (found.append(word) if is_smiles(word) else bad.append((i, word)))
    if bad and len(bad) > (0.5 if skip_broken else LEFT_OUT) * len(rows):
        line, word = bad[0]
        hint = "correct them" if skip_broken else "correct them, name the column with --column, or give --skip_broken"
        raise InputError(
            f"{path}, line {line}: expected a SMILES, got {word[:40]!r}; {len(bad)} of {len(rows)} lines are no "
            f"molecules: {hint}"
        )
    notes = (f"{len(bad)} of {len(rows)} lines left out (no molecules, the first in line {bad[0][0]})",) if bad else ()
    return found, notes


def _cells(line: str, separator: str) -> list[str]:
    if not separator or separator not in line:
        return line.split()
    cells = next(csv.reader([line], delimiter=separator)) if '"' in line else line.split(separator)
    return [cell.strip() for cell in cells]


def _column(path: Path, rows: Sequence[Sequence[str]], column: str) -> tuple[int, bool]:
    """Number of the column of SMILES, and whether the first row is a header."""
    first = [cell.strip().lower() for cell in rows[0]]
    if column:
        if column.lower() not in first:
            raise InputError(
                f"{path}: expected a column {column!r}, got {' '.join(rows[0])[:80]!r}: give --column NAME"
            )
        return first.index(column.lower()), True
    for name in _NAMES:
        if name in first:
            return first.index(name), True
    some = rows[1:201] or rows
    width = max(map(len, some))
    shares = [sum(len(row) > k and is_smiles(row[k]) for row in some) / len(some) for k in range(width)]
    best = next((k for k, share in enumerate(shares) if share >= 0.5), None)
    if best is None:
        got = " ".join(rows[0])[:60]
        if max(shares) > 0.1:
            raise InputError(
                f"{path}: expected a SMILES in most lines of some column, got {max(shares):.0%} of them: correct the "
                "others, or remove them"
            )
        way = "name the column with --column NAME"
        if any(cell.count(">") > 1 for cell in rows[0]):
            way = "save the molecules of a reaction in lines of their own"
        elif got[:6].lower() == "inchi=":
            way = "convert InChI to SMILES, for instance by rdkit"
        raise InputError(f"{path}, line 1: expected a SMILES in some column, got {got!r}: {way}")
    # A first row without a molecule where the others have one is a header of other names, if there are several columns.
    return best, width > 1 and len(rows) > 1 and not (len(rows[0]) > best and is_smiles(rows[0][best]))


def looks_like_smiles(lines: Sequence[str]) -> bool:
    """Whether the first lines of a file are molecules: a header that says so above SMILES, or nothing but SMILES."""
    given = [line for line in lines if line.strip() and not line.startswith("#")][:50]
    if len(given) < 2:
        return False
    separator = next((s for s in ("\t", ";", ",") if s in given[0]), "")
    rows = [_cells(line, separator) for line in given[:-1] or given]  # the last line may be cut
    first = [cell.strip().lower() for cell in rows[0]]
    named = next((first.index(name) for name in _NAMES if name in first), None)
    if named is not None:
        cells = [row[named] for row in rows[1:] if len(row) > named]
        return bool(cells) and sum(map(is_smiles, cells)) >= 0.9 * len(cells)
    for column in zip(*rows[1:]):  # whatever it is called: words of a table do not close rings
        if len(column) >= 5 and all(map(is_smiles, column)) and sum(bool(_STRUCTURE.search(c)) for c in column) > 1:
            return True
    words = [row[0] for row in rows]
    return all(map(is_smiles, words)) and sum(map(len, words)) > 4 * len(words)
