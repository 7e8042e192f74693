"""Perplexities of generated text, with an evaluator that is the same on every machine and at every run.

The evaluator is an n-gram model with interpolated Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999):
it has no seed, no learning rate and no epochs, so a figure follows from the two texts alone.

    p(w|uv) = max(c(uvw) − D, 0)/c(uv) + D·n(uv)/c(uv) · p(w|v),   D = n₁/(n₁ + 2 n₂)

with c counts, n(uv) how many words follow uv, n₁ and n₂ how many n-grams occur once and twice; lower orders count in
how many contexts an n-gram occurs. Figures by it do not compare with those of papers, whose evaluators are LSTMs.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from absynth.data.vocabulary import PAD
from absynth.errors import InputError


class KneserNey:
    """A model of sequences of tokens, learned by counting; the probabilities of all tokens but PAD sum to 1.

    Args:
        rows: padded sequences, as a vocabulary makes them.
        size: tokens in the vocabulary, the special ones included.
        order: n; 1 is the unigram model, the floor that every model of text must be above.

    Raises:
        InputError: there are no tokens to learn from, or size to the power of ``order`` is too large to count in.
    """

    def __init__(self, rows: Int64[Tensor, "n T"], size: int, *, order: int = 3) -> None:
        if order < 1 or size**order >= 2**62:
            raise InputError(f"expected an order of 1 or more with {size} tokens to its power below 2^62, got {order}")
        grams = _grams(rows, size, order)
        if not len(grams):
            raise InputError("an n-gram model needs tokens to learn from, got rows of padding")
        self.size, self.order = size, order
        self.levels: list[_Level] = []
        keys, counts = np.unique(grams, return_counts=True)
        for n in range(order, 0, -1):
            self.levels.append(_Level(keys, counts, size))
            # One order lower: in how many contexts does each n-gram occur?
            keys, counts = np.unique(keys % size ** (n - 1), return_counts=True)

    def __repr__(self) -> str:
        return f"KneserNey(order={self.order}, {self.size} tokens, {len(self.levels[0].keys)} n-grams)"

    def log_probs(self, rows: Int64[Tensor, "n T"]) -> np.ndarray:
        """log p of every token (END among them, PAD not), in the order of reading, ``[tokens]`` in float64."""
        grams = _grams(rows, self.size, self.order)
        p = np.full(len(grams), 1 / (self.size - 1))
        for n, level in enumerate(reversed(self.levels), 1):
            p = level.interpolate(grams % self.size**n, p)
        return np.log(p)

    def perplexity(self, rows: Int64[Tensor, "n T"]) -> float:
        """exp of minus the mean log p of a token, END counted, padding not."""
        found = self.log_probs(rows)
        if not len(found):
            raise InputError("perplexity needs tokens, got rows of padding: were all samples empty?")
        return math.exp(-found.mean())


class _Level:
    """Counts of the n-grams of one order, and of their contexts."""

    def __init__(self, keys: np.ndarray, counts: np.ndarray, size: int) -> None:
        self.keys, self.counts, self.size = keys, counts, size
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        self.discount = float(once / (once + 2 * twice)) if once else 0.5
        self.contexts, where, self.followers = np.unique(keys // size, return_inverse=True, return_counts=True)
        self.totals = np.bincount(where, weights=counts)

    def interpolate(self, grams: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """p of the last token of each n-gram given those before it, from the probabilities one order lower."""
        at, known = _find(self.contexts, grams // self.size)
        gram_at, seen = _find(self.keys, grams)
        counts = np.where(seen, self.counts[gram_at], 0)
        own = np.maximum(counts - self.discount, 0) + self.discount * self.followers[at] * lower
        return np.where(known, own / self.totals[at], lower)


def _find(sorted_keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(where, whether)`` each wanted key is among the sorted ones."""
    at = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return at, sorted_keys[at] == wanted


def _grams(rows: Int64[Tensor, "n T"], size: int, order: int) -> np.ndarray:
    """Every token and the ``order − 1`` before it as one integer, the oldest leading; before the first stands PAD."""
    x = torch.nn.functional.pad(rows.cpu(), (order - 1, 0), value=PAD)
    keys = torch.zeros_like(rows.cpu())
    for k in range(order):
        keys = keys * size + x[:, k : k + rows.shape[1]]
    return keys[rows.cpu() != PAD].numpy()


def forward_perplexity(
    generated: Int64[Tensor, "n T"], real: Int64[Tensor, "m T"], size: int, *, order: int = 3
) -> float:
    """Perplexity of generated text under a model of real (training) text: is it fluent?"""
    return KneserNey(real, size, order=order).perplexity(generated)


def reverse_perplexity(
    generated: Int64[Tensor, "n T"], real: Int64[Tensor, "m T"], size: int, *, order: int = 3
) -> float:
    """Perplexity of real (test) text under a model of generated text: is it as varied? It falls with more samples."""
    return KneserNey(generated, size, order=order).perplexity(real)
