"""Sentences of a wanted sentiment: symbol-vector coupling on Yelp reviews with their labels (Pang and Wu 2021).

C = 2 and every sentence is labelled; z is drawn from p(z|y) by a chain and the sentence written from z. What is at hand
for training is the file called dev (63,000 sentences); the paper's has seven times as many.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from absynth.data import text
from absynth.data.images import find_root
from absynth.data.text import Part, Text
from absynth.recipes._text_symbols import TextSymbols


@dataclass(frozen=True, kw_only=True)
class InformationBottleneckYelp(TextSymbols):
    """Sentences of a wanted sentiment, from Yelp reviews and their labels."""

    steps: int = 700
    checkpoint_every: int = 200
    symbols: int = 2
    information_weight: float = 50.0
    label_weight: float = 20.0

    def read(self, split: Part) -> Text:
        return read(self.data, "test" if split == "test" else "valid")


@lru_cache(maxsize=4)
def read(data: str, split: Part) -> Text:
    """One split, read once a process; the file called dev is what trains."""
    return text.yelp(find_root(data, "yelp"), split)
