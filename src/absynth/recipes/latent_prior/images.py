"""The latent-space EBM prior of images (Pang et al. 2020).

The defaults are the paper's: Table 5 (short-run chains; its s is δ), Table 6 (networks) and the authors' optimizer
settings. The presets of MNIST and Fashion-MNIST are small fully connected networks that two CPU cores train in two
minutes: z of 16, generator 16-400-400-784, f 16-100-100-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Generator, nn

from absynth.algorithms import AlternatingBackprop, LatentPrior
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal
from absynth.errors import InputError
from absynth.networks.deconvnet import deconv_generator, deconv_generator_cifar10
from absynth.networks.encoder import mlp_encoder
from absynth.networks.mlp import Activation, mlp_f, mlp_generator, xavier_normal
from absynth.networks.ready import channels_last
from absynth.recipes._fields import CHAINS, GaussianOutput, ImageOptions, PriorChoice
from absynth.recipes.bounds import Count, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromLast, Persistent
from absynth.seeding import stream

_SMALL: dict[str, Any] = {
    "steps": 900, "threads": 1, "checkpoint_every": 300, "limit": 20_000, "latent": 16, "energy_width": 100,
    "generator": "mlp", "generator_width": 400, "energy_lr": 5e-4, "generator_lr": 1e-3, "init": "default",
}  # fmt: skip
_PAPER = "Pang et al. 2020, Tables 5 and 6"

PRESETS = {
    "mnist": Preset(minutes=2, recorded="latent_prior_mnist", **_SMALL),
    "mnist5k": Preset(minutes=2, **_SMALL | {"limit": 0}),
    "fashion_mnist": Preset(minutes=2, **_SMALL),
    # Small images have flat likelihoods: 20 steps of this size reconstruct twice as badly as 40.
    "digits": Preset(
        minutes=2, **_SMALL | {"steps": 1000, "limit": 0, "generator_width": 200, "std": 0.2, "posterior_steps": 40}
    ),
    "svhn": Preset(source=_PAPER, published="FID 29.44, MSE .008"),
    "cifar10": Preset(
        source=_PAPER, published="FID 70.15, MSE .020", latent=128, generator="deconv_cifar10", generator_width=128,
        posterior_steps=40,
    ),
    "celeba": Preset(source=_PAPER, published="FID 37.87, MSE .013", limit=40_000, generator_width=128),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LatentPriorImages(ImageOptions, GaussianOutput, PriorChoice, Recipe):
    """Latent-space EBM prior: a generator whose latent variable has an energy-based prior (Pang et al. 2020)."""

    kinds = ("image",)
    fused = True
    steps: Count = 70_000
    checkpoint_every: Count = 1000
    energy_activation: Activation = "leaky_relu"
    generator: Literal["deconv", "deconv_cifar10", "mlp"] = "deconv"
    """Generator network: Table 6's, its CIFAR-10 form, or fully connected."""
    prior_start: Literal["noise", "persistent"] = "noise"
    """Initialization of prior chains in training: p_0 as in the paper, or where they ended in the update before."""
    posterior_start: Literal["noise", "last", "inference"] = "noise"
    """Initialization of posterior chains: p_0 as in the paper, the image's last z, or a learned inference model."""
    sample_rounds: Count = 1
    """Number of times the prior chain runs for a sample; persistent chains have run far longer than K_0 steps."""
    inference_width: Count = 200
    """Hidden units of the inference network, with --posterior-start inference."""
    energy_lr: Positive = 2e-5
    inference_lr: Positive = 1e-3
    """Learning rate of the inference network (Adam)."""
    init: Literal["xavier", "default"] = "xavier"
    """Initial weights: Xavier normal (appendix B), or torch's own."""

    def algorithm(self) -> LatentPrior | AlternatingBackprop:
        generator = GaussianGenerator(self._init(self._generator_net()), self.std)
        reference = StandardNormal(self.latent)
        posterior_sampler = self.posterior_sampler()
        count = self.examples.examples
        last = FromLast(count, reference, rng=self._rng(1)) if self.posterior_start == "last" else None
        if self.prior == "gaussian":
            if self.posterior_start == "inference":
                raise InputError("--prior gaussian has no inference model, got --posterior-start inference: give last")
            return AlternatingBackprop(reference, generator, posterior_sampler=posterior_sampler, posterior_start=last)
        f = self._init(mlp_f(self.latent, self.energy_width, self.energy_activation))
        persistent = Persistent(self.batch, reference, rng=self._rng(0)) if self.prior_start == "persistent" else None
        return LatentPrior(
            EBM(f, reference),
            generator,
            prior_sampler=self.prior_sampler(),
            posterior_sampler=posterior_sampler,
            prior_start=persistent,
            posterior_start=last,
            inference=self._inference() if self.posterior_start == "inference" else None,
            sample_rounds=self.sample_rounds,
        )

    def _rng(self, which: int) -> Generator:
        """Source of the initial states of stored chains."""
        return stream(self.seed, 0, 0, CHAINS, which)

    def _inference(self) -> GaussianInference:
        return GaussianInference(mlp_encoder(self.shape, self.latent, self.inference_width, hidden=1))

    def _generator_net(self) -> nn.Module:
        channels, size, _ = self.shape
        if self.generator == "mlp":
            return mlp_generator(self.latent, self.generator_width, self.shape)
        if self.generator == "deconv_cifar10":
            if self.shape != (3, 32, 32):
                got = "x".join(map(str, self.shape))
                raise InputError(f"deconv_cifar10 makes 3x32x32, the data is {got}: use --generator deconv")
            return deconv_generator_cifar10(self.latent, self.generator_width)
        return channels_last(deconv_generator(self.latent, size, channels, self.generator_width))

    def _init(self, net: nn.Module) -> nn.Module:
        return xavier_normal(net) if self.init == "xavier" else net
