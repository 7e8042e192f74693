"""The information bottleneck of symbol-vector coupling (Pang and Wu 2021, arXiv:2108.11556).

*Sentences.* On everyday dialogues nothing is labelled: the mutual-information term makes each symbol a kind of
utterance. On Yelp reviews every sentence is labelled, and z is drawn from p(z|y) by a chain and the sentence generated
from z. Of Yelp the file called dev (63,000 sentences) is trained on where the training file is not at hand; the paper's
has seven times as many, and its networks are five times as wide.

*Eight Gaussians in the plane.* With the mutual-information term each symbol becomes one Gaussian (log 8 = 2.08 nats at
most); without it the symbols mean nothing. The authors train 25,000 updates of batch 500 with chains of 100. Every
symbol must be some z's from the beginning, for one that is chosen nowhere gets no gradient: F starts bent and steep
(``input_scale``, ``symbol_scale``); as usually initialized it ends with four to six of the eight. A short run from N(0,
I) must have time to leave it: K δ²/2 well above 1, else it stays behind the inference model, which climbs f, and f
grows without end. And a lower bound of q's variance keeps the modes in z wide enough for the chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.data.text_set import TextSet, Unit
from absynth.distributions import GaussianGenerator
from absynth.networks.mlp import mlp
from absynth.networks.recurrent import RecurrentGenerator
from absynth.networks.recurrent_encoder import RecurrentEncoder
from absynth.recipes._fields import GaussianOutput, TableOptions
from absynth.recipes._symbols import SymbolRecipe
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe

PRESETS = {
    "dailydialog": Preset(
        minutes=3, recorded="information_bottleneck_dialogue", steps=500, guard_difference=200.0, checkpoint_every=200,
        information_weight=50.0, symbol_scale=20.0,
    ),
    "yelp": Preset(
        minutes=4, steps=1000, checkpoint_every=200, information_weight=5.0,
        label_weight=20.0, share=0.7, free_nats=0.0, contrast="label", labels_at="draw",
    ),
    "wide_ring": Preset(minutes=1, recorded="information_bottleneck_toy"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BottleneckText(SymbolRecipe):
    """Information bottleneck: categories discovered, or given by labels (Pang and Wu 2021)."""

    kinds = ("text",)
    TINY: ClassVar[dict[str, Any]] = {**Recipe.TINY, "limit": 400, "vocabulary_size": 60, "posterior_steps": 2}

    unit: Unit = "word"
    """What a token is: a word, a character, or a byte pair learned from the text (pip install 'absynth[text]')."""
    vocabulary_size: Count = 2000
    """Number of tokens to keep, the most frequent ones; the rest are <unk>."""
    length: Count = 16
    """Longest sequence in tokens, with its end; longer lines are left out."""
    batch: Count = 64
    symbols: Natural = 0
    """Number of symbols C. Defaults to the number of classes of labelled text, else 20."""
    free_nats: NonNegative = 0.5
    share: Decay = 0.0
    """Share γ of z's standard deviation that x decides, in q(z|x) = N(γ·BN(m(x)), (1 − γ²) I), whose KL to N(0, I) is
    fixed; 0 learns the variance."""
    embedding: Count = 64
    """Width of a token's embedding."""
    generator_width: Count = 96
    """Width of the LSTM and of the encoder's GRUs."""
    energy_lr: Positive = 2e-4
    generator_lr: Positive = 2e-3

    def _symbols(self) -> int:
        return self.symbols or self.classes or 20

    def algorithm(self) -> InformationBottleneck:
        assert isinstance(self.examples, TextSet)
        size, width = len(self.examples.vocabulary), self.generator_width
        return self.coupling(
            RecurrentGenerator(size, latent=self.latent, embedding=self.embedding, hidden=width, length=self.length),
            RecurrentEncoder(
                size, embedding=self.embedding, hidden=width, outputs=self.latent if self.share else 2 * self.latent
            ),
            self._symbols(),
            self.share,
        )

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self._symbols()


@dataclass(frozen=True, kw_only=True)
class BottleneckVectors(TableOptions, GaussianOutput, SymbolRecipe):
    """Information bottleneck on vectors: clusters discovered without labels (Pang and Wu 2021)."""

    kinds = ("toy", "table")
    steps: Count = 300
    batch: Count = 200
    guard_difference: Positive = 50.0
    """An energy difference below this never counts as divergence: with the information term F is steep by intention."""
    symbols: Count = 8
    """Number of symbols C."""
    information_weight: NonNegative = 15.0
    latent: Count = 2
    generator_width: Count = 100
    """Hidden units of the generator and of the inference network."""
    std: Positive = 0.2
    min_log_variance: float = -2.0
    input_scale: Positive = 8.0
    symbol_scale: Positive = 20.0
    prior_steps: Natural = 60
    energy_lr: Positive = 4e-4
    sample_rounds: Count = 3

    def algorithm(self) -> InformationBottleneck:
        (dim,), width = self.shape, self.generator_width
        generator = GaussianGenerator(mlp([self.latent, width, width, dim], "silu"), self.std)
        return self.coupling(generator, mlp([dim, width, width, 2 * self.latent], "silu"), self.symbols)

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.symbols
