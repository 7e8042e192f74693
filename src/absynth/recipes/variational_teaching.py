"""Variational MCMC teaching: a VAE as amortized sampler of an EBM (Xie, Zheng, Li, AAAI 2021, arXiv:2012.14936).

With ``--conditional true`` the model is label to image: f(x, c), g(z, c), q(z|x, c), chains and refined images under
the label of the data image. ``cifar10/paper`` are the authors' settings: a Gaussian reference of .016 and δ = .002
shrink x by .8 % per step, no noise, σ = 1 is their Σ(x − g)² + 2·KL. They run 900 chains beside batches of 250 images,
and their networks normalize over the batch in the VAE; here there is one chain per image and no normalization. They
sample by 30 steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from absynth.algorithms.variational_teaching import VariationalTeaching
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference
from absynth.errors import InputError
from absynth.networks.conditional import WithLabel, strided_f
from absynth.networks.labels import ByLabel, LabelEncoder
from absynth.networks.mlp import mlp
from absynth.networks.ready import generator, inference
from absynth.recipes._teaching import DIGITS, RING, TeachingRecipe
from absynth.recipes.presets import Preset
from absynth.types import Batch

PRESETS = {
    "wide_ring": Preset(
        minutes=1, recorded="teaching_ring.K5, variational: MMD of refined samples",
        **RING | {"steps": 2000, "energy_lr": 5e-4},
    ),
    "mnist": Preset(minutes=1, recorded="teaching_mnist.Fréchet of refined samples, variational", **DIGITS),
    "mnist/labels": Preset(minutes=3, **DIGITS | {"steps": 2000, "conditional": True}),
    "fashion_mnist": Preset(
        minutes=1, recorded="teaching_fashion_mnist.Fréchet of refined samples, variational", **DIGITS
    ),
    "cifar10/paper": Preset(
        source="Xie, Zheng, Li 2021 and their code", published="IS 6.65", steps=1_000_000, batch=250,
        checkpoint_every=1000, std=1.0, chain_step_size=0.002, temperature=0.0, reference_std=0.016, energy_lr=9e-3,
        generator_lr=2e-4, inference_lr=2e-4, decay_rate=0.98, decay_epochs=20,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VariationalTeachingRecipe(TeachingRecipe):
    """Variational MCMC teaching: a VAE as amortized sampler of an EBM (Xie, Zheng, Li 2021)."""

    conditional: bool = False
    """Whether the model is conditioned on the label of an image."""

    def algorithm(self) -> VariationalTeaching:
        return VariationalTeaching(
            self.ebm(), self.generator(), self.inference(), self.latent_law(), sampler=self.sampler()
        )

    def _labels(self) -> int:
        """Number of labels.

        Raises:
            InputError: The data have no labels, or are no images.
        """
        if self.data_kind != "image" or not self.classes:
            raise InputError(
                f"--conditional needs images with labels, got {self.data_kind} data with {self.classes} classes: give "
                "a folder with one sub-folder per class, or leave it out"
            )
        return self.classes

    def ebm(self) -> EBM:
        if not self.conditional:
            return super().ebm()
        classes = self._labels()
        if self.energy_network == "mlp":
            widths = [prod(self.shape), self.energy_width, self.energy_width, classes]
            net: nn.Module = nn.Sequential(nn.Flatten(), *mlp(widths, self.energy_activation))
        else:
            net = strided_f(*self.shape[:2], self.energy_width, self.energy_activation, outputs=classes)
        return EBM(ByLabel(net, classes), self.reference())

    def generator(self) -> GaussianGenerator:
        if not self.conditional:
            return super().generator()
        classes = self._labels()
        net = generator(
            "image", self.shape, self.latent + classes, self.generator_width, network=self.generator_network
        )
        return GaussianGenerator(WithLabel(net, classes), self.std)

    def inference(self) -> GaussianInference:
        if not self.conditional:
            return super().inference()
        half = 2 * self.latent  # an encoder returns twice as many numbers: features here, no distribution yet
        features = inference("image", self.shape, half, self.inference_width, network=self.generator_network)
        return GaussianInference(LabelEncoder(features, 2 * half, self.latent, self._labels()))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        found = super().batches(start)
        return (batch._replace(c=batch.y) for batch in found) if self.conditional else found

    def conditions(self, n: int) -> Tensor | None:
        return torch.arange(n) % self.classes if self.conditional else None
