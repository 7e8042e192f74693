"""What symbol-vector coupling on sentences shares: an LSTM p(x|z), a recurrent q(z|x), batches with their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.data.order import minibatches
from absynth.data.text import Part
from absynth.networks.recurrent import RecurrentGenerator
from absynth.networks.recurrent_encoder import RecurrentEncoder
from absynth.recipes._sequences import SequenceRecipe
from absynth.recipes._symbols import SymbolRecipe
from absynth.recipes.recipe import Recipe
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class TextSymbols(SequenceRecipe, SymbolRecipe):
    """Symbol-vector coupling on sentences."""

    batch: int = 64
    vocabulary_size: int = 2000
    length: int = 16
    symbols: int = 20
    """C, how many symbols there are."""
    latent: int = 16
    free_nats: float = 0.5
    embedding: int = 64
    """Width of a token's embedding."""
    hidden: int = 96
    """Width of the LSTM and of the encoder's GRUs."""
    prior_lr: float = 2e-4
    generator_lr: float = 2e-3

    def algorithm(self) -> InformationBottleneck:
        size = len(self.words())
        return self.coupling(
            RecurrentGenerator(
                size, latent=self.latent, embedding=self.embedding, hidden=self.hidden, length=self.length
            ),
            RecurrentEncoder(size, embedding=self.embedding, hidden=self.hidden, outputs=2 * self.latent),
            self.symbols,
        )

    def labels(self, split: Part) -> Tensor | None:
        """The label of each of :meth:`examples`; None where the text has none."""
        return _labels(self, split)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        x, y = self.examples("train"), self.labels("train")
        order = minibatches(len(x), self.batch, seed=self.seed, start=start)
        return (Batch(x[index], None if y is None else y[index]) for index in order)

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.symbols

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, limit=400, vocabulary_size=60, latent=4, embedding=8, hidden=8, nef=8,
            prior_steps=3, posterior_steps=2, log_every=1, checkpoint_every=2,
        )  # fmt: skip


@lru_cache(maxsize=4)
def _labels(recipe: TextSymbols, split: Part) -> Tensor | None:
    found, words = recipe.lines(split), recipe.words()
    if found.labels is None:
        return None
    fits = [1 < len(words.encode(line)) <= recipe.length for line in found.lines]  # the lines that become examples
    return found.labels[torch.tensor(fits)]
