"""Tokens and their numbers: words, characters, any pattern's matches, or byte pairs learned from text.

A sequence is a row of integers: the tokens, one END, then PAD up to the length of the row. PAD is never generated; it
stands where a sequence has ended, and before the first token, as the generator's first input.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from absynth.errors import InputError

PAD, END, UNKNOWN = 0, 1, 2
SPECIAL = ("<pad>", "<end>", "<unk>")
"""The first three tokens of every vocabulary. A text's own ``<unk>`` (Penn Treebank has them) is UNKNOWN."""

WORDS = r"\S+"
"""Pattern of words: whatever stands between spaces."""
CHARACTERS = r"(?s)."
"""Pattern of single characters."""

_SPACE = "▁"  # how byte pairs mark the beginning of a word


class Vocabulary:
    """Text to rows of integers and back.

    Args:
        tokens: without the special ones; token i has number i + 3.
        pattern: regular expression whose matches are the tokens of a line.
        join: what stands between tokens where they are written as text.
        merges: for byte pairs (see :func:`byte_pairs`), ``"left right"`` in the order they were learned; then pattern
            and join are not used.

    >>> words = Vocabulary(["a", "cat", "sat"])
    >>> words.encode("a dog sat")
    [3, 2, 5, 1]
    >>> words.decode([3, 2, 5, 1, 0])
    'a <unk> sat'
    """

    def __init__(
        self, tokens: Sequence[str], *, pattern: str = WORDS, join: str = " ", merges: Sequence[str] = ()
    ) -> None:
        self.tokens = (*SPECIAL, *tokens)
        self.pattern, self.join, self.merges = re.compile(pattern), join, tuple(merges)
        self._number = {token: i for i, token in enumerate(self.tokens) if i >= UNKNOWN}
        self._pairs = _pair_encoder(self.tokens, self.merges) if merges else None
        if len(self._number) != len(self.tokens) - UNKNOWN:
            raise InputError("a vocabulary must hold every token once, got some twice")

    def __len__(self) -> int:
        """How many tokens there are, the special ones included."""
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {'byte pairs' if self.merges else 'tokens'})"

    def split(self, line: str) -> list[str]:
        """The tokens of a line, known or not."""
        return self.pattern.findall(line) if self._pairs is None else self._pairs.encode(line).tokens

    def encode(self, line: str) -> list[int]:
        """The numbers of a line's tokens, and END."""
        return [*(self._number.get(token, UNKNOWN) for token in self.split(line)), END]

    def decode(self, row: Iterable[int] | Tensor) -> str:
        """The text of a row, up to its END."""
        found = []
        for number in row.tolist() if isinstance(row, Tensor) else row:
            if number == END:
                break
            if number != PAD:
                found.append(self.tokens[number])
        if self._pairs is not None:
            return "".join(found).replace(_SPACE, " ").strip()
        return self.join.join(found)

    def rows(self, lines: Iterable[str], length: int, *, keep_long: bool = False) -> Int64[Tensor, "n length"]:
        """Lines as padded rows, for a generator of sequences of up to ``length`` tokens, END among them.

        Args:
            lines: one example each; empty ones are left out.
            length: columns.
            keep_long: cut longer lines to ``length`` tokens, without an END; else they are left out.

        Raises:
            InputError: no line is left.
        """
        rows = [row for row in map(self.encode, lines) if len(row) > 1 and (keep_long or len(row) <= length)]
        if not rows:
            raise InputError(
                f"expected lines of 1 to {length - 1} tokens, got none: give more text, or a larger length"
            )
        out = torch.full((len(rows), length), PAD, dtype=torch.int64)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor(row[:length])
        return out

    def texts(self, rows: Int64[Tensor, "n length"]) -> list[str]:
        """Every row as text."""
        return [self.decode(row) for row in rows.tolist()]


def most_frequent(lines: Iterable[str], size: int, *, pattern: str = WORDS) -> tuple[str, ...]:
    """The tokens of a :class:`Vocabulary` of ``size`` (the three special ones included), the most frequent first.

    Args:
        lines: the training text.
        size: how many tokens the vocabulary may hold; the rest will be UNKNOWN.
        pattern: regular expression whose matches are tokens.
    """
    if size <= len(SPECIAL):
        raise InputError(
            f"a vocabulary must hold more than the {len(SPECIAL)} special tokens, got size {size}: give a larger "
            "--vocabulary-size"
        )
    find = re.compile(pattern).findall
    counts = Counter(token for line in lines for token in find(line))
    for token in SPECIAL:
        del counts[token]
    ranked = sorted(counts, key=lambda token: (-counts[token], token))  # ties in one order on every machine
    return tuple(ranked[: size - len(SPECIAL)])


def byte_pairs(lines: Iterable[str], size: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``(tokens, merges)`` of a :class:`Vocabulary` of byte pairs (Sennrich et al. 2016), learned from the text.

    Args:
        lines: the training text.
        size: how many tokens the vocabulary may hold, the three special ones included.

    Raises:
        InputError: the ``tokenizers`` package is not installed.
    """
    import json

    tokenizers = _tokenizers()
    learner = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=SPECIAL[UNKNOWN]))
    learner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(_SPACE)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), show_progress=False, limit_alphabet=max(size // 2, 1)
    )
    learner.train_from_iterator(lines, trainer)
    model = json.loads(learner.to_str())["model"]
    merges = tuple(pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if not merges:
        raise InputError(f"byte pairs need a vocabulary larger than the text's alphabet, got {size}: give a larger one")
    return tuple(token for token in tokens if token not in SPECIAL), merges


def _pair_encoder(tokens: Sequence[str], merges: Sequence[str]) -> Any:
    """The package's encoder, from the tokens and merges that a recipe records."""
    tokenizers = _tokenizers()
    vocab = {token: i for i, token in enumerate(tokens)}
    pairs = [tuple(pair.split(" ")) for pair in merges]
    encoder = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, pairs, unk_token=SPECIAL[UNKNOWN]))
    encoder.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(_SPACE)
    return encoder


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise InputError("byte pairs need the tokenizers package: pip install 'absynth[text]', or use words") from error
    return tokenizers
