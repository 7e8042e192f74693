"""The latent-space EBM prior on Penn Treebank, at a size that one CPU core trains in a few minutes.

Sentences of up to 20 of the 2,000 most frequent words. ``--vocabulary_size 10000 --length 79 --embedding 128 --hidden
512 --latent 32 --steps 40000`` is nearer the paper, which reports forward perplexity 107.45 and reverse 181.54, real
text 100.36 (Table 2; with an evaluator of its own).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from absynth.data import text
from absynth.data.images import find_root
from absynth.data.text import Part, Text
from absynth.recipes.latent_prior_text import LatentPriorText


@dataclass(frozen=True, kw_only=True)
class LatentPriorPTB(LatentPriorText):
    """Latent-space EBM prior on Penn Treebank, short sentences, small networks."""

    steps: int = 1000
    batch: int = 64
    threads: int = 1
    checkpoint_every: int = 250
    vocabulary_size: int = 2000
    length: int = 21
    latent: int = 16
    embedding: int = 64
    hidden: int = 96

    def read(self, split: Part) -> Text:
        return read(self.data, split)


@lru_cache(maxsize=4)
def read(data: str, split: Part) -> Text:
    """One split, read once a process."""
    return text.ptb(find_root(data, "ptb"), split)
