"""What symbol-vector coupling from few labels is on any data: which labels are known, networks, optimizers, batches.

A recipe says how its data are read and what its generator is; pictures, bags of words and tables differ in nothing
else. Labels are a batch's condition: a class, or −1 for the examples whose class the recipe pretends not to know.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from absynth.algorithms.information_bottleneck import InformationBottleneck
from absynth.algorithms.symbol_vector import UNLABELLED
from absynth.data.order import minibatches
from absynth.errors import InputError
from absynth.networks.mlp import mlp
from absynth.recipes._symbols import SymbolRecipe
from absynth.seeding import stream
from absynth.types import Batch, Conditional

Part = Literal["train", "valid", "test"]

_CHOICE = int.from_bytes(b"label", "big")  # which labels are known has a stream of its own


class Examples(NamedTuple):
    """Examples as the model takes them, with what is truly known of their classes."""

    x: Float32[Tensor, "n ..."]
    y: Int64[Tensor, "n"]
    """Classes; −1 where the data have none."""
    classes: tuple[str, ...]
    """The name of each class."""


def choose_labelled(y: Int64[Tensor, "n"], labels: int, classes: int, seed: int) -> Int64[Tensor, "labels"]:
    """Rows whose label may be used: equally many of each class, those at random; 0 is every label there is.

    Raises:
        InputError: ``labels`` cannot be shared equally, or a class has too few examples.
    """
    if not labels:
        return (y != UNLABELLED).nonzero()[:, 0]
    each, rest = divmod(labels, classes)
    if rest or not each:
        raise InputError(f"labels must be a multiple of the {classes} classes, got {labels}: every class has its share")
    order = torch.randperm(len(y), generator=stream(seed, 0, 0, _CHOICE))
    rows = [order[y[order] == k][:each] for k in range(classes)]
    short = min(map(len, rows))
    if short < each:
        raise InputError(f"expected at least {each} labelled examples of each class, got {short}: ask for fewer labels")
    return torch.cat(rows)


@dataclass(frozen=True, kw_only=True)
class FewLabels(SymbolRecipe):
    """Symbol-vector coupling learned from few labels."""

    batch: int = 200
    labels: int = 100
    """Labels that are known, equally many of each class, chosen by the seed; 0: all that the data have."""
    labelled_batch: int = 50
    """Of a batch, how many examples are labelled ones, drawn with repetition; the rest come unlabelled."""
    label_weight: float = 200.0
    width: int = 400
    """Hidden units of the inference network and of the generator."""
    hidden: int = 1
    """Hidden layers of both."""
    dropout: float = 0.0
    """Share of the inference network's input and hidden units that are dropped while it learns."""

    @abstractmethod
    def examples(self, part: Part) -> Examples:
        """The training examples, those of them set aside to choose numbers on, or the test examples."""

    @abstractmethod
    def unseen(self, path: Path) -> Tensor:
        """A user's own examples ``[n, *event]`` from a file or folder, as the model takes them."""

    def plain(self, x: Tensor) -> Float32[Tensor, "n d"]:
        """Examples as a method without a model would look at them: rows of numbers whose distances mean something."""
        return x.flatten(1)

    @abstractmethod
    def generator(self, train: Examples) -> Conditional:
        """p(x|z), a module."""

    def encoder(self, train: Examples) -> nn.Module:
        """The net of q(z|x): fully connected, with dropout where it is asked for."""
        layers: list[nn.Module] = [nn.Flatten()]
        for layer in mlp([train.x[0].numel(), *[self.width] * self.hidden, 2 * self.latent], "silu"):
            layers += [nn.Dropout(self.dropout), layer] if self.dropout and isinstance(layer, nn.Linear) else [layer]
        return nn.Sequential(*layers)

    def labelled(self, train: Examples) -> Int64[Tensor, "labels"]:
        """The training rows whose label is used."""
        return choose_labelled(train.y, self.labels, len(train.classes), self.seed)

    def algorithm(self) -> InformationBottleneck:
        train = self.examples("train")
        generator = self.generator(train)
        return self.coupling(generator, self.encoder(train), len(train.classes))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        train = self.examples("train")
        known = self.labelled(train)
        if not 0 < self.labelled_batch < self.batch:
            raise InputError(f"labelled_batch must be between 1 and batch {self.batch}, got {self.labelled_batch}")
        order = minibatches(len(train.x), self.batch - self.labelled_batch, seed=self.seed, start=start)
        for step, rows in enumerate(order, start):
            rng = stream(self.seed, 0, step, _CHOICE)
            again = known[torch.randint(len(known), (self.labelled_batch,), generator=rng)]
            c = torch.cat([train.y[again], torch.full((len(rows),), UNLABELLED)])
            yield Batch(train.x[torch.cat([again, rows])], c)

    def held_out(self, n: int) -> Tensor:
        return self.examples("test").x[:n]

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % len(self.examples("train").classes)
