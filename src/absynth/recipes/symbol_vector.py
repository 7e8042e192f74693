"""Symbol-vector coupling learned from few labels (Pang and Wu 2021, arXiv:2108.11556): images, tables, bags of words.

Labels are chosen by the seed, equally many per class; the model never sees the others. Numbers were chosen on training
examples that are set aside (a tenth of a table, the last 2,000 images of MNIST, AG News' own validation texts). Of AG
News the first 5,000 training texts are at hand where the official 120,000 are not; the paper has all, and 0.845.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.algorithms.symbol_vector import UNLABELLED
from absynth.data.labels import CHOICE, choose_labelled
from absynth.data.order import minibatches
from absynth.data.text_set import TextSet, Unit
from absynth.data.vocabulary import SPECIAL
from absynth.distributions import GaussianGenerator
from absynth.errors import InputError
from absynth.networks.bag_of_words import BagGenerator, LogCounts
from absynth.networks.mlp import mlp, mlp_generator
from absynth.recipes._few_labels import require_classes
from absynth.recipes._fields import GaussianOutput, ImageOptions
from absynth.recipes._symbols import SymbolRecipe
from absynth.recipes.bounds import Count, Decay, Natural, NonNegative
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.seeding import stream
from absynth.types import Batch, Conditional

PRESETS = {
    "mnist": Preset(minutes=1, recorded="symbol_vector_mnist", steps=800, limit=20_000, std=0.3),
    "digits_table": Preset(
        minutes=0.5, recorded="symbol_vector_table", steps=500, labels=50, std=0.5, latent=8, generator_width=200
    ),
    "breast_cancer": Preset(
        minutes=0.5, recorded="symbol_vector_table", steps=500, labels=20, std=0.5, latent=8, generator_width=200
    ),
    "ag_news": Preset(
        minutes=1, recorded="symbol_vector_text", source="Pang and Wu 2021, at a fraction of its data",
        published="accuracy .845", steps=300, labels=200, unit="letters", vocabulary_size=3053, length=400,
        generator_width=200, dropout=0.3,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SymbolVectorRecipe(ImageOptions, GaussianOutput, SymbolRecipe):
    """Symbol-vector coupling: classes from few labels (Pang and Wu 2021)."""

    kinds = ("image", "table", "text")
    TINY: ClassVar[dict[str, Any]] = {
        **Recipe.TINY,
        "batch": 24,
        "labelled_batch": 8,
        "labels": 0,
        "limit": 200,
        "stop_words": 0,
    }

    target: str = ""
    """Column of a table that holds classes. Defaults to the last one."""
    unit: Unit = "letters"
    """What is counted in a text: words of letters in lower case."""
    vocabulary_size: Count = 3053
    """Number of words that are counted or stop words, the most frequent ones of the training texts."""
    length: Count = 400
    """Longest text in words; longer texts are left out."""
    stop_words: Natural = 50
    """The most frequent words are not counted: they belong to no topic."""
    words_per_text: Natural = 0
    """Mean number of words counted in a text; found from the training texts."""
    batch: Count = 200
    labels: Natural = 100
    """Number of labels that are used, equally many of each class, chosen by the seed; 0: all that the data have."""
    labelled_batch: Count = 50
    """Labelled examples per batch, drawn with repetition; the rest, without labels, are drawn from all of the data."""
    label_weight: NonNegative = 200.0
    generator_width: Count = 400
    """Hidden units of the generator and of the inference network."""
    hidden: Count = 1
    """Hidden layers of both."""
    dropout: Decay = 0.0
    """Share of the inference network's input and hidden units that are dropped in training."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, SymbolVectorRecipe)
        require_classes(found)
        if not 0 < self.labelled_batch < self.batch:
            raise InputError(f"labelled_batch must be between 1 and batch {self.batch}, got {self.labelled_batch}")
        if found._inputs() < 1:
            raise InputError(f"expected more than {self.stop_words} words in the texts: give fewer --stop-words")
        if found.examples.kind == "text" and not self.words_per_text:
            counts = found.model_inputs(found.examples.all())
            found = replace(found, words_per_text=max(round(float(counts.sum(1).mean())), 1))
        return found

    def model_inputs(self, x: Tensor) -> Tensor:
        """Examples as the model takes them: of rows of words how often each occurs, else as they are."""
        return self._counts(x) if self.examples.kind == "text" else x

    def _counts(self, rows: Tensor) -> Tensor:
        assert isinstance(self.examples, TextSet)
        counts = torch.zeros(len(rows), len(self.examples.vocabulary))
        counts.scatter_add_(1, rows, torch.ones_like(rows, dtype=counts.dtype))
        return counts[:, len(SPECIAL) + self.stop_words :]

    def labelled_rows(self) -> Int64[Tensor, "labels"]:
        """The training rows whose label is used."""
        y = self.examples.labels
        assert y is not None
        return choose_labelled(y, self.labels, self.classes, self.seed)

    def algorithm(self) -> InformationBottleneck:
        generator = self._generator()
        # Unlabelled rows of a batch are drawn from all of the data, labelled ones among them: they are the bound's.
        together = self.contrast == "label"
        return self.coupling(generator, self._encoder(), self.classes, labelled_in_bound=together)

    def _inputs(self) -> int:
        """Numbers of one example as the model takes it."""
        if self.examples.kind != "text":
            return prod(self.shape)
        assert isinstance(self.examples, TextSet)
        return len(self.examples.vocabulary) - len(SPECIAL) - self.stop_words

    def _generator(self) -> Conditional:
        """p(x|z)."""
        if self.examples.kind == "text":
            known = len(self.examples) > 0  # else the weights of a trained run replace the initial ones
            sums = self.model_inputs(self.examples.all()).sum(0) if known else torch.ones(self._inputs())
            return BagGenerator(self.latent, self.generator_width, sums, self.words_per_text)
        if self.examples.kind == "image":
            return GaussianGenerator(mlp_generator(self.latent, self.generator_width, self.shape), self.std)
        sizes = [self.latent, *[self.generator_width] * self.hidden, self.shape[0]]
        return GaussianGenerator(mlp(sizes, "silu"), self.std)

    def _encoder(self) -> nn.Module:
        """The net of q(z|x): fully connected, with dropout if wanted."""
        layers: list[nn.Module] = [nn.Flatten()]
        for layer in mlp([self._inputs(), *[self.generator_width] * self.hidden, 2 * self.latent], "silu"):
            layers += [nn.Dropout(self.dropout), layer] if self.dropout and isinstance(layer, nn.Linear) else [layer]
        net = nn.Sequential(*layers)
        return nn.Sequential(LogCounts(), net) if self.examples.kind == "text" else net

    def batches(self, start: int = 0) -> Iterator[Batch]:
        x, y, known = self.model_inputs(self.examples.all()), self.examples.labels, self.labelled_rows()
        assert y is not None
        order = minibatches(len(x), self.batch - self.labelled_batch, seed=self.seed, start=start)
        for step, rows in enumerate(order, start):
            rng = stream(self.seed, 0, step, CHOICE)
            again = known[torch.randint(len(known), (self.labelled_batch,), generator=rng)]
            labels = torch.cat([y[again], torch.full((len(rows),), UNLABELLED)])
            yield Batch(x[torch.cat([again, rows])], y=labels)

    def held_out(self, n: int) -> Tensor:
        return self.model_inputs(super().held_out(n))

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes
