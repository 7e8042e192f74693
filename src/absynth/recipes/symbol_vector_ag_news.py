"""Symbol-vector coupling on AG's news from 200 labels, texts as bags of words (Pang and Wu 2021, section on text).

What is at hand of the training set is its first 5,000 texts where the official 120,000 are not; the paper has all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from absynth.data import text
from absynth.data.images import find_root
from absynth.data.vocabulary import SPECIAL, Vocabulary, most_frequent
from absynth.errors import InputError
from absynth.networks.bag_of_words import BagGenerator, LogCounts
from absynth.recipes._few_labels import Examples, FewLabels, Part
from absynth.recipes.recipe import Recipe
from absynth.report import Picture, ResultTable

WORDS = r"[a-z]{2,}"
CLASSES = ("world", "sports", "business", "science")


@dataclass(frozen=True, kw_only=True)
class SymbolVectorAGNews(FewLabels):
    """Symbol-vector coupling on AG's news: topics from 200 labels, texts as bags of words."""

    steps: int = 300
    labels: int = 200
    limit: int = 0
    """Use only the first so many training texts; 0: all."""
    vocabulary: int = 3000
    """Words that are counted, the most frequent ones of the training texts."""
    stop_words: int = 50
    """The most frequent words are left out: they tell no topic."""
    width: int = 200
    dropout: float = 0.3

    def examples(self, part: Part) -> Examples:
        found = read(self.data, part, self.vocabulary, self.stop_words)
        if part != "train" or not self.limit:
            return found
        return found._replace(x=found.x[: self.limit], y=found.y[: self.limit])

    def unseen(self, path: Path) -> Tensor:
        if not path.is_file():
            raise InputError(f"expected a text file, one text a line, got {path}")
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return counts(lines, words(self.data, self.vocabulary, self.stop_words))

    def plain(self, x: Tensor) -> Tensor:
        logs = x.log1p()  # of unit length: a distance is an angle
        return logs / torch.linalg.vector_norm(logs, dim=1, keepdim=True).clamp(min=1e-12)

    def encoder(self, train: Examples) -> nn.Module:
        return nn.Sequential(LogCounts(), super().encoder(train))

    def generator(self, train: Examples) -> BagGenerator:
        total = max(round(float(train.x.sum(1).mean())), 1)
        return BagGenerator(self.latent, self.width, train.x.sum(0), total)

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """The words of each bag, the most frequent first."""
        known = words(self.data, self.vocabulary, self.stop_words)
        rows = []
        for bag in x[:40]:
            found = bag.argsort(descending=True, stable=True)[: int((bag > 0).sum())]
            rows.append([" ".join(known[i] for i in found.tolist())])
        return [{"caption": "Words of each text, the most frequent first", "columns": ["words"], "rows": rows}]

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=24, labelled_batch=8, labels=20, limit=200, vocabulary=300, latent=4, width=8, nef=8,
            prior_steps=3, posterior_steps=3, log_every=1, checkpoint_every=2,
        )  # fmt: skip


@lru_cache(maxsize=4)
def lines(data: str, part: Part) -> text.Text:
    """AG's news in lower case, read once a process."""
    found = text.ag_news(find_root(data, "ag_news"), part)
    return replace(found, lines=[line.lower() for line in found.lines])


@lru_cache(maxsize=4)
def words(data: str, size: int, stop: int) -> tuple[str, ...]:
    """The words that are counted."""
    return most_frequent(lines(data, "train").lines, size + stop + len(SPECIAL), pattern=WORDS)[stop:]


def counts(texts: list[str], known: tuple[str, ...]) -> Tensor:
    """How often each known word occurs in each text ``[n, V]``."""
    vocabulary = Vocabulary(known, pattern=WORDS)
    out = torch.zeros(len(texts), len(vocabulary))
    for row, line in zip(out, texts):
        for token in vocabulary.encode(line.lower())[:-1]:
            row[token] += 1
    return out[:, len(SPECIAL) :]


@lru_cache(maxsize=4)
def read(data: str, part: Part, size: int, stop: int) -> Examples:
    """Bags and labels, made once a process."""
    found = lines(data, part)
    assert found.labels is not None
    return Examples(counts(list(found.lines), words(data, size, stop)), found.labels, CLASSES)
