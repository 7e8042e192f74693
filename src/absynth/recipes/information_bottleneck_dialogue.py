"""Categories discovered in the utterances of everyday dialogues (Pang and Wu 2021, section on DailyDialog).

Nothing is labelled: the information term makes each symbol a kind of utterance. ``--data FILE`` reads your own, one
utterance a line. The paper's networks are five times as wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from absynth.data import text
from absynth.data.images import find_root
from absynth.data.text import Part, Text
from absynth.recipes._text_symbols import TextSymbols


@dataclass(frozen=True, kw_only=True)
class InformationBottleneckDialogue(TextSymbols):
    """Categories of utterances discovered by an information bottleneck, in DailyDialog or your own text."""

    steps: int = 500
    guard_gap: float = 200.0
    """A gap below this is never trouble: with the information term F is steep by intention."""
    checkpoint_every: int = 200
    information_weight: float = 50.0
    symbol_scale: float = 20.0

    def read(self, split: Part) -> Text:
        return read(self.data, split)


@lru_cache(maxsize=4)
def read(data: str, split: Part) -> Text:
    """One split, read once a process: a user's file, or the published set in lower case."""
    if Path(data).is_file():
        return text.text_file(Path(data), split)
    found = text.dailydialog(find_root(data, "dailydialog"), split)
    return Text([line.lower() for line in found.lines], None, found.name)
