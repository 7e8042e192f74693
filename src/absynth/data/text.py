"""Text, one example a line: published sets and files. ``reader(root, split) -> Text``.

Readers look for the files in the set's own folder of ``root`` (see :func:`absynth.data.images.find_root`), gzipped or
not, and never download.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from absynth.data.frames import is_missing
from absynth.data.lines import read_lines
from absynth.errors import InputError

Part = Literal["train", "valid", "test"]

HELD_OUT = 10
"""Of a file without a split, every tenth line is held out."""


@dataclass(frozen=True, eq=False, repr=False)
class Text:
    """Lines, and a label for each where the set has them."""

    lines: Sequence[str]
    labels: Int64[Tensor, "n"] | None
    name: str
    notes: tuple[str, ...] = ()
    """What was left out and why."""

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Iterable[int] | Tensor) -> Text:
        """Some of the lines, in this order."""
        chosen = rows.tolist() if isinstance(rows, Tensor) else list(rows)
        labels = None if self.labels is None else self.labels[torch.tensor(chosen, dtype=torch.int64)]
        return replace(self, lines=[self.lines[i] for i in chosen], labels=labels)

    def __repr__(self) -> str:
        return f"Text({self.name}: {len(self)} lines{'' if self.labels is None else ', labelled'})"


def ptb(root: Path, split: Part) -> Text:
    """Penn Treebank in Mikolov's form (2010): 42,068 / 3,370 / 3,761 sentences, 10,000 words, numbers are N."""
    return Text(_sentences(_find(root, "ptb", f"ptb.{split}.txt")), None, f"ptb {split}")


def yelp(root: Path, split: Part) -> Text:
    """Yelp reviews by sentence (Shen et al. 2017), label 0 negative, 1 positive.

    ``valid`` is the file called dev. The training file is large and not always at hand; a recipe may train on dev.
    """
    part = "dev" if split == "valid" else split
    parts = [_sentences(_find(root, "yelp", f"sentiment.{part}.{label}.txt")) for label in (0, 1)]
    labels = torch.cat([torch.full((len(lines),), label) for label, lines in enumerate(parts)])
    return Text([*parts[0], *parts[1]], labels, f"yelp {part}")


def has_yelp_training(root: Path) -> bool:
    """Whether the large training file of Yelp is at hand."""
    places = (root / "yelp", root / "text" / "yelp", root)
    return any((place / f"sentiment.train.0.txt{gz}").exists() for place in places for gz in ("", ".gz"))


def ag_news(root: Path, split: Part) -> Text:
    """AG's news (Zhang et al. 2015): title and description; labels 0 to 3 are world, sports, business, science.

    ``train`` is the official file or its first 5,000 lines, ``valid`` the 1,000 that were set aside.
    """
    names = {"train": ("train.csv", "train_subset_5k.csv"), "valid": ("dev_subset_1k.csv",), "test": ("test.csv",)}
    path = _find(root, "ag_news", *names[split])
    lines, labels = [], []
    for number, row in enumerate(csv.reader(read_lines(path)), 1):
        if len(row) < 2 or row[0] not in {"1", "2", "3", "4"}:
            raise InputError(f"{path}, line {number}: expected a class 1 to 4 and text, got {row[:2]}")
        labels.append(int(row[0]) - 1)
        lines.append(" ".join(" ".join(row[1:]).replace("\\", " ").split()))
    return Text(lines, torch.tensor(labels), f"ag_news {split}")


def dialogues(root: Path, split: Part) -> list[list[str]]:
    """DailyDialog (Li et al. 2017): every dialogue as its utterances."""
    part = {"train": ("train.txt", "train_subset.txt"), "valid": ("validation.txt",), "test": ("test.txt",)}[split]
    found = []
    for line in read_lines(_find(root, "dailydialog", *part)):
        utterances = [" ".join(u.split()) for u in line.split("__eou__")]
        found.append([u for u in utterances if u])
    return found


def dailydialog(root: Path, split: Part) -> Text:
    """DailyDialog, one utterance a line."""
    return Text([u for dialogue in dialogues(root, split) for u in dialogue], None, f"dailydialog {split}")


def text_file(path: Path, split: Part) -> Text:
    """Your own file, one sentence per line, utf-8, gzipped or not: every tenth line is held out (valid and test).

    Raises:
        InputError: There is no such file, it is no text, or it holds fewer than ten lines.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"expected a text file, one sentence per line, found none at {path}: give --data FILE")
    if path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".parquet")):
        raise InputError(f"{path}: expected a text file, got a table: save the column of text as .txt, a line each")
    return _every_tenth(read_lines(path), split, path.name, f"{path}: ")


def lines_of(source: Any) -> list[str]:
    """The lines of a list, a Series or an array of text; a missing one is empty.

    Raises:
        InputError: It is a DataFrame, a pair, or holds something else.
    """
    if hasattr(source, "columns"):
        raise InputError(
            f"expected lines of text, got a DataFrame with the columns {', '.join(map(str, source.columns))[:80]}: "
            "give one column of it"
        )
    if isinstance(source, tuple) and not all(isinstance(line, str | bytes) for line in source):
        raise InputError("expected lines of text, got a pair: give the lines alone, labels are not read with them")
    found = []
    for line in source:
        if isinstance(line, bytes):
            line = line.decode("utf-8", "replace")
        missing = is_missing(line)
        if not missing and not isinstance(line, str):
            raise InputError(f"expected lines of text, got {type(line).__name__} {str(line)[:40]!r}: give text")
        found.append("" if missing else str(line))
    return found


def of_lines(lines: Sequence[str], split: Part, name: str = "lines") -> Text:
    """Lines in memory; every tenth is held out (valid and test).

    Raises:
        InputError: There are fewer than ten lines.
    """
    return _every_tenth(lines, split, name, "")


def _every_tenth(given: Sequence[str], split: Part, name: str, where: str) -> Text:
    lines = [line for line in (" ".join(str(line).split()) for line in given) if line]
    if len(lines) < HELD_OUT:
        raise InputError(f"{where}expected at least {HELD_OUT} lines that are not empty, got {len(lines)}: give more")
    chosen = [line for i, line in enumerate(lines, 1) if (i % HELD_OUT == 0) == (split != "train")]
    empty = len(given) - len(lines)
    return Text(chosen, None, name, (f"{empty} empty lines left out",) if empty else ())


def _sentences(path: Path) -> list[str]:
    """Lines with single spaces, none of them empty."""
    return [line for line in (" ".join(line.split()) for line in read_lines(path)) if line]


def _find(root: Path, folder: str, *names: str) -> Path:
    """The first file there is, gzipped or not, in the set's own folder, in ``text``, or in ``root`` itself."""
    places = [root / folder, root / "text" / folder, root]
    for name in names:
        for place in places:
            for path in (place / name, place / f"{name}.gz"):
                if path.is_file():
                    return path
    raise InputError(
        f"{folder} not found: expected {' or '.join(names)} (or .gz) in {' or '.join(map(str, places))}; put it there, "
        "or point ABSYNTH_DATA or --data at the folder that holds it"
    )
