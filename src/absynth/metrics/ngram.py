"""An n-gram model of sequences of tokens, counted and not learned: the floor that any generator has to clear."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from absynth.data.vocabulary import END, PAD
from absynth.errors import InputError
from absynth.seeding import uniform_like
from absynth.types import Rng


class NGram:
    """p(x_t | x_{t−order} … x_{t−1}), as often as it was seen, without smoothing.

    Args:
        rows: sequences, padded after their END.
        order: tokens of context; before the first token it is padding.
        temperature: T; probabilities are taken to the power of 1/T.
    """

    def __init__(self, rows: Int64[Tensor, "n length"], order: int = 3, temperature: float = 1.0) -> None:
        if order < 0:
            raise InputError(f"expected an order of 0 or more, got {order}")
        self.order, self.length = order, rows.shape[1]
        counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for row in rows.tolist():
            context = (PAD,) * order
            for token in row:
                if token == PAD:
                    break
                counts[context][token] += 1
                context = (*context, token)[1:] if order else ()
        self._law = {context: (list(seen), _passed(seen, temperature)) for context, seen in counts.items()}

    def __repr__(self) -> str:
        return f"NGram(order={self.order}, {len(self._law)} contexts)"

    def sample(self, n: int, rng: Rng) -> Int64[Tensor, "n length"]:
        """n sequences, of as many tokens as the longest they were counted from at most."""
        uniform = uniform_like(torch.empty(n, self.length, dtype=torch.float64), rng).numpy()
        out = torch.full((n, self.length), PAD, dtype=torch.int64)
        for i in range(n):
            context = (PAD,) * self.order
            for t in range(self.length):
                tokens, passed = self._law[context]
                token = tokens[min(int(np.searchsorted(passed, uniform[i, t], side="right")), len(tokens) - 1)]
                out[i, t] = token
                if token == END:
                    break
                context = (*context, token)[1:] if self.order else ()
        return out


def _passed(seen: Counter[int], temperature: float) -> np.ndarray:
    """The distribution function over the tokens that were seen, in their order."""
    counts = np.array(list(seen.values()), dtype=np.float64)
    weights = (counts / counts.max()) ** (1 / temperature)
    return np.cumsum(weights) / weights.sum()
