"""Sentences and molecules as data sets: rows of token numbers, with a vocabulary found in the training lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from absynth.data.dataset import Dataset, Split, check_part, mirror_description
from absynth.data.lines import read_lines
from absynth.data.molecules import PATTERNS, Tokens
from absynth.data.order import minibatches
from absynth.data.text import Text
from absynth.data.vocabulary import CHARACTERS, UNKNOWN, WORDS, Vocabulary, byte_pairs, most_frequent
from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.report import Picture, ResultTable
from absynth.types import Batch

Unit = Literal["word", "character", "bpe", "letters"]
_LETTERS = r"[a-z]{2,}"
Read = Callable[[Split], Text]

_COUNTED = 50_000  # of larger sets, other splits are not opened to count them
BUCKET = 50
"""Batches of molecules that are drawn together and cut by length, so that short ones do not wait for long ones."""


class TextSet(Dataset):
    """Lines of text as rows of tokens ``[n, length]``, int64: the tokens, END, padding.

    Args:
        read: ``split -> Text``; called once per split.
        name: Name of the set.
        part: The split.
        unit: What a token is: a word, a character, a byte pair learned from the training lines, or a word of letters in
            lower case.
        vocabulary_size: Number of tokens to keep, the most frequent ones; the rest are ``<unk>``.
        length: Longest sequence in tokens, with its END; longer lines are left out.
        limit: Number of training lines to use; 0 uses all.
        vocabulary: The vocabulary. Defaults to the one found in the training lines.
    """

    kind = "text"
    unit = "sentences"

    def __init__(
        self,
        read: Read,
        name: str = "",
        part: Split = "train",
        *,
        unit: Unit = "word",
        vocabulary_size: int = 10_000,
        length: int = 41,
        limit: int = 0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        check_part(part)
        self._read, self.part, self.length, self.limit = read, part, length, limit
        self.token_unit, self.vocabulary_size = unit, vocabulary_size
        text = self._cased(read(part))
        classes = 0 if text.labels is None or not len(text) else 1 + int(text.labels.max())  # of all lines
        if limit and part == "train":
            text = text.take(range(min(limit, len(text))))
        self.name = name or text.name
        self.shape = (length,)
        self.vocabulary = vocabulary or self._find_vocabulary(text if part == "train" else self._cased(read("train")))
        self.lines, self.labels = text.lines, text.labels
        encoded = [self.vocabulary.encode(line) for line in text.lines]
        fits = [i for i, row in enumerate(encoded) if 1 < len(row) <= length]
        if text.lines and not fits:
            raise InputError(
                f"expected lines of 1 to {length - 1} tokens, got none: give more text, or a larger --length"
            )
        self.notes = (*text.notes, *self._left_out(encoded))
        self.rows = torch.zeros(len(fits), length, dtype=torch.int64)
        for row, i in enumerate(fits):
            self.rows[row, : len(encoded[i])] = torch.tensor(encoded[i])
        self.kept = torch.tensor(fits, dtype=torch.int64)
        if self.labels is not None:
            self.labels = self.labels[self.kept]
            self.class_names = tuple(map(str, range(classes)))
        self.examples = len(self.rows) if part == "train" else 0

    def _cased(self, text: Text) -> Text:
        if self.token_unit != "letters":
            return text
        return replace(text, lines=[line.lower() for line in text.lines])

    def _left_out(self, encoded: list[list[int]]) -> Iterator[str]:
        """What of the encoded lines is not learned from, one phrase each."""
        long = sum(len(row) > self.length for row in encoded)
        empty = sum(len(row) < 2 for row in encoded)
        if long:
            yield (
                f"{long} of {len(encoded)} {self.unit} left out (longer than {self.length - 1} tokens; --length keeps "
                "more)"
            )
        if empty:
            yield f"{empty} of {len(encoded)} {self.unit} left out (no token in them)"
        tokens = sum(len(row) - 1 for row in encoded)
        unknown = sum(row.count(UNKNOWN) for row in encoded)
        if unknown:
            yield f"{unknown / tokens:.1%} of tokens are not in the vocabulary"

    def _pattern(self) -> tuple[str, str]:
        """``(pattern, join)`` of the :class:`Vocabulary`."""
        patterns = {"character": (CHARACTERS, ""), "letters": (_LETTERS, " ")}
        return patterns.get(self.token_unit, (WORDS, " "))

    def _find_vocabulary(self, text: Text) -> Vocabulary:
        pattern, join = self._pattern()
        lines = text.lines[: self.limit] if self.limit else text.lines
        if self.token_unit == "bpe":
            tokens, merges = byte_pairs(lines, self.vocabulary_size)
        else:
            tokens, merges = most_frequent(lines, self.vocabulary_size, pattern=pattern), ()
        return Vocabulary(tokens, pattern=pattern, join=join, merges=merges)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Tensor) -> Batch:
        return Batch(self.rows[index], y=None if self.labels is None else self.labels[index])

    def split(self, part: Split) -> TextSet:
        if part == self.part:
            return self
        found = type(self)(self._read, self.name, part, **self._options(), vocabulary=self.vocabulary)
        found.source, found.examples, found.class_names = self.source, self.examples, self.class_names
        return found

    def _options(self) -> dict[str, Any]:
        return {
            "unit": self.token_unit, "vocabulary_size": self.vocabulary_size, "length": self.length, "limit": self.limit
        }  # fmt: skip

    def split_sizes(self) -> dict[str, int]:
        return self.count_splits("test") if len(self) < _COUNTED else {}

    def contents(self) -> Iterator[Tensor]:
        yield self.rows
        if self.labels is not None:
            yield self.labels

    def details(self) -> dict[str, Any]:
        return {
            "tokens": list(self.vocabulary.tokens[3:]), "merges": list(self.vocabulary.merges),
            "options": self._options(),
        }  # fmt: skip

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> TextSet:
        details = description["details"]
        labels = torch.zeros(0, dtype=torch.long) if description["class_names"] else None
        found = cls(lambda part: Text([], labels, description["name"]), **details["options"], vocabulary=_NONE)
        pattern, join = found._pattern()
        found.vocabulary = Vocabulary(details["tokens"], pattern=pattern, join=join, merges=details["merges"])
        mirror_description(found, description)
        return found

    def encode(self, lines: list[str]) -> Tensor:
        """Lines as rows of tokens; those that are too long are cut."""
        lines = [line.lower() for line in lines] if self.token_unit == "letters" else lines
        return self.vocabulary.rows(lines, self.length, keep_long=True)

    def parse(self, path: Path) -> Tensor:
        if not path.is_file():
            raise InputError(f"expected a text file, one {self.unit[:-1]} per line, found none at {path}")
        return self.encode([line for line in (" ".join(line.split()) for line in read_lines(path)) if line])

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        lines = self.vocabulary.texts(x)
        written = file.with_suffix(".txt")
        write_atomic(written, "\n".join(lines) + "\n")
        caption = f"{min(len(lines), 50)} of {len(lines)} sequences, all in {written.name}"
        return [{"caption": caption, "columns": ["sequence"], "rows": [[line] for line in lines[:50]]}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        texts = {title: self.vocabulary.texts(x) for title, x in rows.items()}
        count = min(5, *map(len, texts.values()))
        table = [[str(i + 1), title, lines[i]] for i in range(count) for title, lines in texts.items()]
        return [{"caption": f"{count} sequences", "columns": ["", "", "sequence"], "rows": table}]


_NONE = Vocabulary(())


class SmilesSet(TextSet):
    """Molecules as rows of tokens.

    Args:
        tokens: What a token is: an atom with its brackets, or a character (Cl and Br are one either way).
        read, name, part, length, limit, vocabulary_size, vocabulary: As in :class:`TextSet`.
    """

    kind = "smiles"
    unit = "molecules"

    def __init__(
        self,
        read: Read,
        name: str = "",
        part: Split = "train",
        *,
        tokens: Tokens = "atoms",
        vocabulary_size: int = 10_000,
        length: int = 80,
        limit: int = 0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.tokens: Tokens = tokens
        super().__init__(
            read, name, part, unit="character", vocabulary_size=vocabulary_size, length=length, limit=limit,
            vocabulary=vocabulary,
        )  # fmt: skip

    def _pattern(self) -> tuple[str, str]:
        return PATTERNS[self.tokens], ""

    def _options(self) -> dict[str, Any]:
        return {
            "tokens": self.tokens, "vocabulary_size": self.vocabulary_size, "length": self.length, "limit": self.limit
        }  # fmt: skip

    def batches(self, size: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        """Minibatches whose rows are alike in length; which comes first follows from (seed, epoch) too."""
        together = min(BUCKET, len(self) // size) or 1
        first, skip = divmod(start, together)
        order = minibatches(len(self), together * size, seed=seed, start=first)
        return self._by_length(order, together, size, skip)

    def _by_length(self, order: Iterator[Tensor], together: int, size: int, skip: int) -> Iterator[Batch]:
        lengths = (self.rows > 0).sum(1)
        for index in order:
            ordered = index[lengths[index].argsort(stable=True)].view(together, size)
            for part in ordered[index[:together].argsort()][skip:]:
                yield self.batch(part)._replace(index=part)
            skip = 0

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """All molecules as lines of a .smi file, valid or not, and the first valid ones as an image."""
        from absynth.metrics.molecules import draw

        smiles = self.vocabulary.texts(x)
        written = file.with_suffix(".smi")
        write_atomic(written, "\n".join(smiles) + "\n")
        shown = draw(smiles, file, columns=min(columns, 6))
        caption = f"{shown} of {len(smiles)} molecules as generated, those that are valid; all in {written.name}"
        return [{"file": file.name, "caption": caption}] if shown else []
