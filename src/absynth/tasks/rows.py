"""Rows of a table as a file: original columns and units, words in place of their columns of 0 and 1."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from absynth.files import write_atomic


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


def write_rows(file: Path, x: Float[Tensor, "n d"], columns: Sequence[str]) -> None:
    """Rows in original units as CSV."""
    found = original_columns(x, columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found)
    for row in zip(*found.values(), strict=True):
        writer.writerow([f"{v:.7g}" if isinstance(v, float) else v for v in row])
    write_atomic(file, text.getvalue())
