"""The latent-space EBM prior on a user's own pictures: a folder, or an .npz / .npy of arrays.

Numbers of Pang et al. 2020: Table 5 (short-run chains; its s is δ, see DESIGN section 4), Table 6 (networks) and the
authors' optimizer settings. The other image recipes are this one with a data set's own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, nn
from torch.optim import Adam, Optimizer

from absynth.algorithms import AlternatingBackprop, LatentPrior
from absynth.data import anomaly
from absynth.data.images import Images
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal
from absynth.errors import InputError
from absynth.networks.deconvnet import deconv_generator, deconv_generator_cifar10
from absynth.networks.encoder import mlp_encoder
from absynth.networks.mlp import Activation, mlp_f, mlp_generator, xavier_normal
from absynth.recipes._pictures import PictureRecipe
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromLast, Langevin, Persistent
from absynth.seeding import stream

BANK = int.from_bytes(b"bank", "big")
"""Tells the noise of the first banks of chains from all other noise."""


@dataclass(frozen=True, kw_only=True)
class LatentPriorImages(PictureRecipe):
    """Latent-space EBM prior (Pang et al. 2020) on your own pictures."""

    steps: int = 70_000
    checkpoint_every: int = 1000
    anomaly: int = -1
    """Label to hold out for anomaly detection: trains on 80 % of all other pictures; -1: the usual training split."""
    prior: Literal["ebm", "gaussian"] = "ebm"
    """Learned prior, or the fixed N(0, I) of the ablation in Table 8."""
    latent: int = 100
    """Dimension of z."""
    nef: int = 200
    """Hidden units of f (Table 10)."""
    ebm_activation: Activation = "leaky_relu"
    """Activation of f; smooth ones (silu, gelu) are steadier."""
    generator: Literal["deconv", "deconv_cifar10", "mlp"] = "deconv"
    """Generator network: Table 6's, its CIFAR-10 form, or fully connected."""
    ngf: int = 64
    """Feature factor of the deconvolutional generator (Table 10), or hidden units of the fully connected one."""
    std: float = 0.3
    """σ of p(x|z), for pictures in [-1, 1]."""
    prior_steps: int = 60
    """K_0, Langevin steps on the prior."""
    prior_step_size: float = 0.4
    """δ of the prior chain, in z + (δ²/2)·score + δ·noise."""
    posterior_steps: int = 20
    """K_1, Langevin steps on the posterior."""
    posterior_step_size: float = 0.1
    """δ of the posterior chain."""
    prior_lr: float = 2e-5
    """Adam's rate for f."""
    generator_lr: float = 1e-4
    """Adam's rate for the generator."""
    beta1: float = 0.5
    """Adam's first β, for both players."""
    init: Literal["xavier", "default"] = "xavier"
    """Initial weights: Xavier normal (appendix B), or torch's own."""
    prior_start: Literal["noise", "persistent"] = "noise"
    """Where prior chains begin: p_0 as in the paper, or where they ended in the update before."""
    sample_rounds: int = 1
    """Times the prior chain runs for a sample; persistent chains have run far longer than K_0 steps."""
    posterior_start: Literal["noise", "last", "inference"] = "noise"
    """Where posterior chains begin: p_0 as in the paper, the picture's last z, or a learned inference model."""
    examples: int = 0
    """Pictures whose last z is kept, with --posterior_start last; 0: all that there are."""
    inference_width: int = 200
    """Hidden units of the inference model, with --posterior_start inference."""
    inference_lr: float = 1e-3
    """Adam's rate for the inference model."""

    def images(self, split: Literal["train", "test"]) -> Images:
        if self.anomaly >= 0:
            return anomaly.held_out(self.read("train"), self.read("test"), self.anomaly)[split]
        return super().images(split)

    def resolve(self) -> Recipe:
        found = super().resolve()
        if self.posterior_start == "last" and not self.examples:
            found = replace(found, examples=len(self.images("train")))
        return found

    def algorithm(self) -> LatentPrior:
        generator = GaussianGenerator(self._init(self._generator_net()), self.std)
        reference = StandardNormal(self.latent)
        posterior_sampler = Langevin(self.posterior_steps, self.posterior_step_size)
        last = FromLast(self.examples, reference, rng=self._begin(1)) if self.posterior_start == "last" else None
        if self.prior == "gaussian":
            if self.posterior_start == "inference":
                raise InputError("--prior gaussian has no inference model, got --posterior_start inference: give last")
            return AlternatingBackprop(reference, generator, posterior_sampler=posterior_sampler, posterior_start=last)
        f = self._init(mlp_f(self.latent, self.nef, self.ebm_activation))
        persistent = Persistent(self.batch, reference, rng=self._begin(0)) if self.prior_start == "persistent" else None
        return LatentPrior(
            EBM(f, reference),
            generator,
            prior_sampler=Langevin(self.prior_steps, self.prior_step_size),
            posterior_sampler=posterior_sampler,
            prior_start=persistent,
            posterior_start=last,
            inference=self._inference() if self.posterior_start == "inference" else None,
            sample_rounds=self.sample_rounds,
        )

    def _begin(self, bank: int) -> Generator:
        """What draws the first states of a bank of chains."""
        return stream(self.seed, 0, 0, BANK, bank)

    def _inference(self) -> GaussianInference:
        shape = (self.channels, self.size, self.size)
        return GaussianInference(mlp_encoder(shape, self.latent, self.inference_width, hidden=1))

    def _generator_net(self) -> nn.Module:
        if self.generator == "mlp":
            return mlp_generator(self.latent, self.ngf, (self.channels, self.size, self.size))
        if self.generator == "deconv_cifar10":
            if (self.size, self.channels) != (32, 3):
                got = f"{self.channels}x{self.size}x{self.size}"
                raise InputError(f"deconv_cifar10 makes 3x32x32, the data is {got}: use --generator deconv")
            return deconv_generator_cifar10(self.latent, self.ngf)
        net = deconv_generator(self.latent, self.size, self.channels, self.ngf)
        # Channels last: learning from z⁺ takes a tenth less time on a CPU, and chains run so anyway.
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _init(self, net: nn.Module) -> nn.Module:
        return xavier_normal(net) if self.init == "xavier" else net

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        rates = {"prior": self.prior_lr, "generator": self.generator_lr}
        if self.prior == "gaussian":
            del rates["prior"]
        if self.posterior_start == "inference":
            rates["inference"] = self.inference_lr
        betas = (self.beta1, 0.999)
        return {k: Adam(algorithm.get_submodule(k).parameters(), lr, betas, fused=True) for k, lr in rates.items()}

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, limit=64, nef=8, ngf=8, latent=4, prior_steps=3, posterior_steps=3,
            log_every=1, checkpoint_every=2,
        )  # fmt: skip
