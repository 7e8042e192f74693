"""A rival of energy-based models of images: a generative adversarial network of the same networks.

Goodfellow et al., NeurIPS 2014, arXiv:1406.2661, with the generator's loss that does not saturate (section 3 there),
and the gradient penalty R1 of Mescheder, Geiger, Nowozin, ICML 2018, arXiv:1801.04406. With ζ(t) = log(1 + eᵗ):

    discriminator: E ζ(−d(x)) + E ζ(d(g(z))) + γ/2 E |∇ d(x)|²
    generator:     E ζ(−d(g(z)))

The hinge losses (Lim and Ye 2017, arXiv:1705.02894) are E max(0, 1 − d(x)) + E max(0, 1 + d(g(z))) and −E d(g(z)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from absynth.algorithms import Algorithm
from absynth.experiments._denoiser import RivalRecipe
from absynth.networks.conditional import LabelF, WithLabel, strided_f
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.ready import channels_last
from absynth.recipes.bounds import Count, Decay, NonNegative, Positive
from absynth.seeding import noise_like
from absynth.types import Batch, Rng

Loss = Literal["softplus", "hinge"]


def discriminator_loss(real: Float[Tensor, "b"], fake: Float[Tensor, "b"], kind: Loss) -> Float[Tensor, ""]:
    """Loss of a discriminator from its logits."""
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Float[Tensor, "b"], kind: Loss) -> Float[Tensor, ""]:
    """Loss of a generator from the discriminator's logits."""
    return -fake.mean() if kind == "hinge" else F.softplus(-fake).mean()


class Adversarial(Algorithm):
    """Players: ``generator`` and ``discriminator``.

    Args:
        generator: g(z), or g(z, c).
        discriminator: d(x), or d(x, c), one logit per image.
        latent: Dimension of z.
        loss: Form of the losses.
        penalty: γ of R1, on a quarter of the batch, which is enough to hold d and costs a quarter.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, latent: int, *, loss: Loss, penalty: float
    ) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.latent, self.penalty = latent, penalty
        self.loss: Loss = loss

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c = batch.x, batch.c
        fake = self._generate(len(x), c, rng)
        logits = self._logits(torch.cat([x, fake.detach()]), None if c is None else torch.cat([c, c]))
        loss = discriminator_loss(logits[: len(x)], logits[len(x) :], self.loss)
        if self.penalty:
            few = x[: max(1, len(x) // 4)].detach().requires_grad_(True)
            value = self._logits(few, None if c is None else c[: len(few)]).sum()
            (slope,) = torch.autograd.grad(value, few, create_graph=True)
            loss = loss + self.penalty / 2 * slope.square().flatten(1).sum(1).mean()
        return {"generator": generator_loss(self._logits(fake, c), self.loss), "discriminator": loss}

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        return self._generate(n, c, rng)

    def _generate(self, n: int, c: Tensor | None, rng: Rng) -> Tensor:
        z = noise_like(next(self.parameters()).new_empty(n, self.latent), rng)
        return self.generator(z) if c is None else self.generator(z, c)

    def _logits(self, x: Tensor, c: Tensor | None) -> Tensor:
        return (self.discriminator(x) if c is None else self.discriminator(x, c)).flatten()


@dataclass(frozen=True, kw_only=True)
class AdversarialRecipe(RivalRecipe):
    """A generative adversarial network of images with or without labels: the networks of ``conditional``."""

    latent: Count = 32
    """Dimension of z."""
    generator_width: Count = 8
    """Feature factor of the generator's transposed convolutions."""
    energy_width: Count = 16
    """Maps of the discriminator's first convolution."""
    loss: Loss = "softplus"
    """Form of the losses."""
    penalty: NonNegative = 1.0
    """Weight γ of the gradient penalty R1."""
    beta1: Decay = 0.5
    """Adam's β1, for both players."""
    beta2: Decay = 0.999
    """Adam's β2, for both players."""
    generator_lr: Positive = 1e-3
    discriminator_lr: Positive = 1e-3

    def algorithm(self) -> Adversarial:
        channels, size, _ = self.shape
        classes = self.classes if self.labelled else 0
        g: nn.Module = deconv_generator(self.latent + classes, size, channels, self.generator_width)
        d: nn.Module = strided_f(channels, size, self.energy_width)
        if classes:
            g, d = WithLabel(g, classes), LabelF(channels, size, classes, self.energy_width)
        return Adversarial(g, channels_last(d), self.latent, loss=self.loss, penalty=self.penalty)
