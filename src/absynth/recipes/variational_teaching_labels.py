"""Label to picture by variational MCMC teaching, on a user's own pictures: a folder with one sub-folder a class.

The conditional model of Xie, Zheng, Li 2021 (:mod:`absynth.algorithms.variational_teaching`): f(x, c), g(z, c) and
q(z|x, c), chains and revised pictures under the same label as the pictures beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor, nn

from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal, Uniform
from absynth.networks.conditional import WithLabel, strided_f
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.encoder import conv_encoder, mlp_encoder
from absynth.networks.labels import ByLabel, LabelEncoder
from absynth.networks.mlp import mlp, mlp_generator
from absynth.recipes.conditional_images import classes_of, labels_of
from absynth.recipes.recipe import Recipe
from absynth.recipes.variational_teaching_images import VariationalTeachingImages
from absynth.types import Batch


@dataclass(frozen=True, kw_only=True)
class VariationalTeachingLabels(VariationalTeachingImages):
    """Conditional variational MCMC teaching, label to picture, on your own classes of pictures."""

    classes: int = 0
    """Labels 0 to classes − 1; 0: as found. Pictures without classes are all of class 0."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, VariationalTeachingLabels)
        return replace(found, classes=classes_of(found.images("train"), self.classes))

    def ebm(self) -> EBM:
        reference = StandardNormal(*self.shape, std=self.reference_std) if self.reference_std else Uniform(*self.shape)
        if self.ebm_network == "mlp":
            widths = [prod(self.shape), self.ebm_width, self.ebm_width, self.classes]
            net = nn.Sequential(nn.Flatten(), *mlp(widths, self.ebm_activation))
        else:
            net = strided_f(self.channels, self.size, self.ebm_width, self.ebm_activation, outputs=self.classes)
        return EBM(ByLabel(net, self.classes), reference)

    def generator(self) -> GaussianGenerator:
        inputs = self.latent + self.classes
        if self.networks == "mlp":
            net = mlp_generator(inputs, self.generator_width, self.shape)
        else:
            net = deconv_generator(inputs, self.size, self.channels, self.generator_width)
        return GaussianGenerator(WithLabel(net, self.classes), self.std)

    def inference(self) -> GaussianInference:
        half = 2 * self.latent  # an encoder makes twice its d numbers: these are features, no law yet
        if self.networks == "mlp":
            features = mlp_encoder(self.shape, half, self.inference_width)
        else:
            features = conv_encoder(self.channels, self.size, half, self.inference_width)
        return GaussianInference(LabelEncoder(features, 2 * half, self.latent, self.classes))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        labels = labels_of(self.images("train"))
        for batch in super().batches(start):
            assert batch.index is not None
            yield batch._replace(c=labels[batch.index])

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes
