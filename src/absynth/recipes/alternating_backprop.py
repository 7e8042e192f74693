"""Alternating back-propagation (Han, Lu, Zhu, Wu, AAAI 2017, arXiv:1606.08571) and short-run inference.

*Images* have the numbers of Han et al.: σ = 0.3, δ = 0.1 and 10 to 30 steps per visit from the example's last z. From
fresh noise (``--posterior-start noise``) it is the short-run inference of Nijkamp et al. 2020 (arXiv:1912.01909), whose
five-layer generator (``--generator layered_deconv``) has σ = 0.15, 25 steps of δ = 0.05, Adam at 8e-5, halved after 50,
100, 300 epochs: the preset ``celeba/short_run``, whose features follow ``absynth.networks.layered`` and whose images
have 64×64 pixels where theirs have 32×32. ``--missing 0.5`` hides half of each image's pixels for good.

*Vectors* with a linear generator are factor analysis by Langevin: the posterior of z and the best likelihood are known
in closed form (Tipping and Bishop 1999), so what is learned can be compared with it (``absynth reproduce ppca``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from absynth.algorithms import AlternatingBackprop
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.errors import InputError
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.layered import layered_deconv, layered_mlp
from absynth.networks.mlp import mlp, mlp_generator
from absynth.recipes._fields import CHAINS, GaussianOutput, ImageOptions, PosteriorChain, TableOptions
from absynth.recipes.bounds import Count, Decay, Natural, Positive
from absynth.recipes.presets import Preset
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromLast, FromNoise, Start
from absynth.seeding import stream
from absynth.types import Batch

MASK = int.from_bytes(b"mask", "big")
"""Separates the choice of the hidden pixels from a step's noise."""

_SMALL: dict[str, Any] = {
    "steps": 900, "threads": 1, "checkpoint_every": 300, "limit": 20_000, "latent": (16,), "generator": "mlp",
    "generator_width": 400, "generator_lr": 1e-3,
}  # fmt: skip

PRESETS = {
    "mnist": Preset(minutes=1, recorded="missing_pixels", **_SMALL),
    "mnist/short_run": Preset(
        minutes=1, **_SMALL | {"latent": (16, 16, 16), "generator": "layered_mlp", "posterior_start": "noise"}
    ),
    "celeba/short_run": Preset(
        source="Nijkamp et al. 2020 and their code", steps=240_000, limit=40_000, latent=(128, 96, 64, 64, 64),
        generator="layered_deconv", std=0.15, posterior_start="noise", posterior_steps=25, posterior_step_size=0.05,
        generator_lr=8e-5, halve_after=(50, 100, 300),
    ),
    "linear_factors": Preset(minutes=0.5, recorded="ppca"),
    "breast_cancer": Preset(minutes=0.5, generator_width=64, latent=8),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AlternatingBackpropRecipe(GaussianOutput, PosteriorChain, Recipe):
    """Numbers of a generator and of the chain that infers its z."""

    posterior_start: Literal["", "last", "noise"] = ""
    """Initialization of a chain on z: where the example's last one ended, or fresh noise (short run). Defaults to last,
    and to noise for data without end."""

    def resolve(self) -> Recipe:
        found = super().resolve()
        assert isinstance(found, AlternatingBackpropRecipe)
        return replace(found, posterior_start=found.posterior_start or ("last" if found.examples.examples else "noise"))

    def _of(self, net: nn.Module, dim: int) -> AlternatingBackprop:
        """The algorithm with the network of a generator of ``dim`` latent numbers."""
        z = StandardNormal(dim)
        start: Start = FromNoise(z)
        if self.posterior_start == "last":
            if not self.examples.examples:
                raise InputError("--posterior-start last needs a finite data set, got an unlimited one: give noise")
            start = FromLast(self.examples.examples, z, rng=stream(self.seed, 0, 0, CHAINS))
        generator = GaussianGenerator(net, self.std)
        return AlternatingBackprop(z, generator, posterior_sampler=self.posterior_sampler(), posterior_start=start)


@dataclass(frozen=True, kw_only=True)
class AlternatingBackpropImages(ImageOptions, AlternatingBackpropRecipe):
    """Alternating back-propagation: a generator learned by inferring its z with Langevin steps (Han et al. 2017)."""

    kinds = ("image",)
    TINY: ClassVar[dict[str, Any]] = {k: v for k, v in Recipe.TINY.items() if k != "latent"}

    steps: Count = 70_000
    checkpoint_every: Count = 1000
    latent: tuple[int, ...] = (100,)  # type: ignore[assignment]
    """Dimension of z; of a layered generator's several, the top layer's first."""
    generator: Literal["deconv", "mlp", "layered_deconv", "layered_mlp"] = "deconv"
    """Network of the generator; the layered ones have a z in every layer."""
    missing: Decay = 0.0
    """Share of pixels of each training image that is never observed."""
    beta1: Decay = 0.5
    """Adam's β1."""
    halve_after: tuple[int, ...] = ()
    """Epochs after which the learning rate is halved."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (len(self.latent) > 1) != self.generator.startswith("layered"):
            raise InputError(
                f"a layered generator has several z and any other one, got {self.generator} and --latent "
                f"{list(self.latent)}: for instance --generator layered_mlp --latent [16,16]"
            )

    def algorithm(self) -> AlternatingBackprop:
        return self._of(self._net(), sum(self.latent))

    def _net(self) -> nn.Module:
        channels, size, _ = self.shape
        if self.generator == "mlp":
            return mlp_generator(self.latent[0], self.generator_width, self.shape)
        if self.generator == "layered_mlp":
            return layered_mlp(self.latent, self.generator_width, self.shape)
        if self.generator == "layered_deconv":
            return layered_deconv(self.latent, size, channels, self.generator_width)
        return deconv_generator(self.latent[0], size, channels, self.generator_width)

    def schedule(self, step: int) -> float:
        epoch = step * self.batch // max(self.examples.examples, 1)
        return 0.5 ** sum(epoch >= turn for turn in self.halve_after)

    def mask(self, index: Tensor) -> Tensor | None:
        """1 where a training image's pixel is observed, ``[b, 1, size, size]``; the same at every visit."""
        if not self.missing:
            return None
        return masks(self.examples.examples, self.shape[1], self.missing, self.seed)[index].float()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        for batch in super().batches(start):
            assert batch.index is not None
            yield batch._replace(mask=self.mask(batch.index))


@lru_cache(maxsize=2)
def masks(n: int, size: int, missing: float, seed: int) -> Tensor:
    """``[n, 1, size, size]``, False with probability ``missing``."""
    return torch.rand(n, 1, size, size, generator=stream(seed, 0, 0, MASK)) >= missing


@dataclass(frozen=True, kw_only=True)
class AlternatingBackpropVectors(TableOptions, AlternatingBackpropRecipe):
    """Alternating back-propagation of vectors, with a linear or a small generator (Han et al. 2017)."""

    kinds = ("toy", "table")
    TINY: ClassVar[dict[str, Any]] = {k: v for k, v in Recipe.TINY.items() if k not in ("latent", "generator_width")}

    steps: Count = 3000
    threads: int = 1
    latent: Count = 2
    generator_width: Natural = 0
    """Hidden units of the generator's two hidden layers; 0 is a linear generator."""
    std: Positive = 0.5
    posterior_steps: Natural = 10
    generator_lr: Positive = 1e-2
    """Learning rate at the beginning (Adam); it falls to 0 linearly."""

    def algorithm(self) -> AlternatingBackprop:
        (dim,), width = self.shape, self.generator_width
        net = mlp([self.latent, width, width, dim], "silu") if width else nn.Linear(self.latent, dim)
        return self._of(net, self.latent)

    def schedule(self, step: int) -> float:
        return 1 - step / self.steps
