"""Label to picture by cooperative learning, on a user's own pictures: a folder with one sub-folder a class.

The other label recipes are this one with a data set's own numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from absynth.data.images import Images
from absynth.data.order import minibatches
from absynth.errors import InputError
from absynth.networks.conditional import LabelF, WithLabel
from absynth.networks.deconvnet import deconv_generator
from absynth.recipes._conditional import ConditionalRecipe
from absynth.recipes.recipe import Recipe
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class ConditionalImages(ConditionalRecipe):
    """Conditional cooperative learning, label to picture (Xie et al. 2021), on your own classes of pictures."""

    classes: int = 0
    """Labels 0 to classes − 1; 0: as found. Pictures without classes are all of class 0."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, ConditionalImages)
        return replace(found, classes=classes_of(found.images("train"), self.classes))

    def f(self) -> nn.Module:
        return LabelF(self.channels, self.size, self.classes, self.ebm_width, self.ebm_activation)

    def net(self) -> nn.Module:
        g = deconv_generator(self.latent + self.classes, self.size, self.channels, self.generator_width)
        return WithLabel(g, self.classes)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        images = self.images("train")
        order = minibatches(len(images), self.batch, seed=self.seed, start=start)
        return (Batch(images.batch(index), labels_of(images)[index]) for index in order)

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes


def labels_of(images: Images) -> Tensor:
    """The label of each picture; 0 where there are none."""
    return torch.zeros(len(images), dtype=torch.long) if images.labels is None else images.labels


def classes_of(images: Images, asked: int) -> int:
    """How many classes the pictures have.

    Raises:
        InputError: a number was asked for that is neither theirs nor 0, which leaves it to them.
    """
    classes = 1 + int(labels_of(images).max())
    if asked not in (0, classes):
        raise InputError(f"the data has {classes} classes, got --classes {asked}: leave it out")
    return classes
