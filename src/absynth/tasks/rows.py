"""Rows of a table as a file: original columns and units, words in place of their columns of 0 and 1."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from absynth.errors import InputError
from absynth.files import refused, write_atomic


def folder_and_file(out: Path | None) -> tuple[Path | None, Path | None]:
    """What ``--out`` names: a folder for the whole result, or a file ending in .csv for its rows alone.

    Raises:
        InputError: It names a file of another kind.

    >>> folder_and_file(Path("scores.csv"))[0] is None, folder_and_file(Path("scores"))[1] is None
    (True, True)
    """
    if out is not None and out.suffix.lower() == ".csv":
        return None, out.expanduser()
    if out is not None and out.suffix.lower() in (".tsv", ".txt", ".parquet", ".pq", ".json", ".xlsx", ".npz"):
        raise InputError(f"expected --out to be a folder or a .csv file, got {out}: name a .csv file")
    return out, None


def write_beside(file: Path, text: str, copy: Path | None) -> None:
    """Write text to the file of a result, and to the file that ``--out`` names.

    Raises:
        InputError: A file cannot be written.
    """
    for path in (file, copy):
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, text)
            except OSError as error:
                raise refused(path, error) from error


def original_columns(x: Float[Tensor, "n d"], columns: Sequence[str]) -> dict[str, list]:
    """Columns by name; those called ``name=value`` become one, with the value whose entry is largest.

    >>> import torch
    >>> original_columns(torch.tensor([[1.5, 0.2, 0.9]]), ["a", "kind=old", "kind=new"])
    {'a': [1.5], 'kind': ['new']}
    """
    found: dict[str, list] = {}
    words: dict[str, list[int]] = {}
    for j, column in enumerate(columns):
        name, equals, _ = column.rpartition("=")
        if equals:
            words.setdefault(name, []).append(j)
            found.setdefault(name, [])
        else:
            found[column] = x[:, j].tolist()
    for name, at in words.items():
        values = [columns[j].rpartition("=")[2] for j in at]
        found[name] = [values[i] for i in x[:, at].argmax(1).tolist()]
    return found


def write_rows(file: Path, x: Float[Tensor, "n d"], columns: Sequence[str], copy: Path | None = None) -> None:
    """Rows in original units as CSV, with a copy elsewhere."""
    found = original_columns(x, columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found)
    for row in zip(*found.values(), strict=True):
        writer.writerow([f"{v:.7g}" if isinstance(v, float) else v for v in row])
    write_beside(file, text.getvalue(), copy)
