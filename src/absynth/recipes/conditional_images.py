"""Label to picture by cooperative learning, on a user's own pictures: a folder with one sub-folder a class.

Xie et al. 2021 at a scale of seconds. The authors' chains (K = 16, δ = 0.0008, reference of standard deviation 0.016)
are all but noiseless descents whose f has to be enormous; here chains move as the short-run EBM's of
:mod:`absynth.recipes.short_run_images` do, δ²/2 = 1 with noise of 0.01. The other label recipes are this one with a
data set's own numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.data.images import Images
from absynth.data.order import minibatches
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, Uniform
from absynth.errors import InputError
from absynth.networks.conditional import LabelF, WithLabel
from absynth.networks.deconvnet import deconv_generator
from absynth.recipes._teaching import TeachingImages
from absynth.recipes.recipe import Recipe
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class ConditionalImages(TeachingImages):
    """Conditional cooperative learning, label to picture (Xie et al. 2021), on your own classes of pictures."""

    steps: int = 20_000
    checkpoint_every: int = 500
    classes: int = 0
    """Labels 0 to classes − 1; 0: as found. Pictures without classes are all of class 0."""
    teaching: Literal["fast", "full"] = "fast"
    """The initializer's z: the one that a draft was born from, or inferred from the revised draft."""
    chain_steps: int = 15
    step_size: float = math.sqrt(2)
    temperature: float = 5e-5
    data_noise: float = 0.03
    """Standard deviation of noise added to the data, about that of the chains; less is sharper, and less stable."""
    ebm_lr: float = 3e-4
    generator_lr: float = 3e-4
    decay: float = 0.2
    """Share of the updates, at the end, in which the rates fall to 0."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, ConditionalImages)
        labels = found.images("train").labels
        classes = 1 if labels is None else int(labels.max()) + 1
        if self.classes not in (0, classes):
            raise InputError(f"the data has {classes} classes, got --classes {self.classes}: leave it out")
        return replace(found, classes=classes)

    def algorithm(self) -> ConditionalCooperative:
        f = LabelF(self.channels, self.size, self.classes, self.ebm_width, self.ebm_activation)
        g = deconv_generator(self.latent + self.classes, self.size, self.channels, self.generator_width)
        return ConditionalCooperative(
            EBM(f.to(memory_format=torch.channels_last), Uniform(*self.shape)),  # type: ignore[call-overload]
            GaussianGenerator(WithLabel(g, self.classes), self.std),
            self.latent_law(),
            sampler=self.sampler(),
            posterior_sampler=self.posterior_sampler() if self.teaching == "full" else None,
            data_noise=self.data_noise,
        )

    def schedule(self, step: int) -> float:
        return min(1.0, (self.steps - step) / max(self.decay * self.steps, 1.0))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        images = self.images("train")
        order = minibatches(len(images), self.batch, seed=self.seed, start=start)
        return (Batch(images.batch(index), labels_of(images)[index]) for index in order)

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes


def labels_of(images: Images) -> Tensor:
    """The label of each picture; 0 where there are none."""
    return torch.zeros(len(images), dtype=torch.long) if images.labels is None else images.labels
