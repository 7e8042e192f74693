"""What recipes on sequences of tokens share: reading lines, the vocabulary and where it is kept, how they are shown.

The vocabulary is a field: ``resolve`` finds it in the training text, recipe.json and config.json record it, and so a
run can be loaded and sampled where its text is not at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from jaxtyping import Int64
from torch import Tensor

from absynth.data.order import minibatches
from absynth.data.text import Part, Text, text_file
from absynth.data.vocabulary import CHARACTERS, WORDS, Vocabulary, byte_pairs, most_frequent
from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.recipes.recipe import Recipe
from absynth.report import Picture, ResultTable
from absynth.types import Batch

Unit = Literal["word", "character", "bpe"]


@dataclass(frozen=True, kw_only=True)
class SequenceRecipe(Recipe):
    """An experiment on lines of text: a user's own file at ``--data``, or a published set where ``read`` says so."""

    unit: Unit = "word"
    """What a token is: a word, a character, or a byte pair learned from the text (pip install 'absynth[text]')."""
    vocabulary_size: int = 10_000
    """Tokens kept, the most frequent ones; the rest are <unk>."""
    length: int = 41
    """Longest sequence in tokens, its end among them; longer lines are left out."""
    limit: int = 0
    """Use only the first so many training lines; 0: all."""
    vocabulary: tuple[str, ...] = ()
    """The tokens; empty: found from the training text. Recorded, so that a run carries its words."""
    merges: tuple[str, ...] = ()
    """The merges of byte pairs, found and recorded with the tokens."""

    def read(self, split: Part) -> Text:
        """One split of the text: what a recipe on a published set replaces."""
        if not self.data:
            raise InputError("expected --data FILE of text, one sentence a line, got none")
        return read_file(self.data, split)

    def pattern(self) -> tuple[str, str]:
        """``(pattern, join)`` of the :class:`Vocabulary`: what a recipe with tokens of its own replaces."""
        return (CHARACTERS, "") if self.unit == "character" else (WORDS, " ")

    def lines(self, split: Part) -> Text:
        """The lines this recipe trains on, or is tested on, long ones included."""
        found = self.read(split)
        if not self.limit or split != "train":
            return found
        labels = None if found.labels is None else found.labels[: self.limit]
        return Text(found.lines[: self.limit], labels, found.name)

    def words(self) -> Vocabulary:
        """The vocabulary that was found."""
        if not self.vocabulary:
            raise InputError("expected a recipe whose vocabulary was found from its text, got none: recipe.resolve()")
        return _words(self.vocabulary, *self.pattern(), self.merges)

    def examples(self, split: Part) -> Int64[Tensor, "n length"]:
        """The sequences of a split that fit, as padded rows of tokens."""
        return _rows(self, split)

    def resolve(self) -> Recipe:
        if self.vocabulary:
            return self
        lines = self.lines("train").lines
        if self.unit == "bpe":
            tokens, merges = byte_pairs(lines, self.vocabulary_size)
        else:
            tokens, merges = most_frequent(lines, self.vocabulary_size, pattern=self.pattern()[0]), ()
        return replace(self, vocabulary=tokens, merges=merges)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        x = self.examples("train")
        order = minibatches(len(x), self.batch, seed=self.seed, start=start)
        return (Batch(x[index], index=index) for index in order)

    def held_out(self, n: int) -> Tensor:
        return self.examples("test")[:n]

    def given(self, path: Path) -> Tensor:
        """A user's own lines as examples; those too long are cut."""
        if not path.is_file():
            raise InputError(f"expected a text file, one sentence a line, found none at {path}")
        return self.words().rows(path.read_text(encoding="utf-8").splitlines(), self.length, keep_long=True)

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """All sequences as lines of a .txt file, the first 50 as a table."""
        lines = self.words().texts(x)
        written = file.with_suffix(".txt")
        write_atomic(written, "\n".join(lines) + "\n")
        caption = f"{min(len(lines), 50)} of {len(lines)} sequences of {self.name()}, all in {written.name}"
        return [{"caption": caption, "columns": ["sequence"], "rows": [[line] for line in lines[:50]]}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        """Up to five examples, one below the other, each in all its forms."""
        texts = {title: self.words().texts(x) for title, x in rows.items()}
        count = min(5, *map(len, texts.values()))
        table = [[str(i + 1), title, lines[i]] for i in range(count) for title, lines in texts.items()]
        return [{"caption": f"{count} sequences of {self.name()}", "columns": ["", "", "sequence"], "rows": table}]


@lru_cache(maxsize=4)
def read_file(path: str, split: Part) -> Text:
    """A user's text, read once a process."""
    return text_file(Path(path), split)


@lru_cache(maxsize=8)
def _words(tokens: tuple[str, ...], pattern: str, join: str, merges: tuple[str, ...]) -> Vocabulary:
    return Vocabulary(tokens, pattern=pattern, join=join, merges=merges)


@lru_cache(maxsize=4)
def _rows(recipe: SequenceRecipe, split: Part) -> Tensor:
    return recipe.words().rows(recipe.lines(split).lines, recipe.length)
