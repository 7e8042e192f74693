"""Alternating back-propagation on a user's own pictures (Han et al. 2017), and its short-run and layered forms.

Numbers of Han et al.: σ = 0.3, δ = 0.1 and 10 to 30 steps a visit from the example's last z (``--start last``). From
fresh noise (``--start noise``) it is the short-run inference of Nijkamp et al. 2020, whose five-layer generator
(``--generator layered_deconv``, ``absynth.networks.layered``) has σ = 0.15, 25 steps of δ = 0.05, Adam at 8e-5.
``--missing 0.5`` hides half of each picture's pixels for good: the likelihood is that of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from absynth.algorithms import AlternatingBackprop
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.errors import InputError
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.layered import layered_deconv, layered_mlp
from absynth.networks.mlp import mlp_generator
from absynth.recipes._pictures import PictureRecipe
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromLast, FromNoise, Langevin
from absynth.seeding import stream
from absynth.types import Batch

BANK, MASK = (int.from_bytes(word, "big") for word in (b"bank", b"mask"))
"""Keep the first z and the masks apart from a step's noise."""


@dataclass(frozen=True, kw_only=True)
class ABPImages(PictureRecipe):
    """Alternating back-propagation on your own pictures."""

    steps: int = 70_000
    checkpoint_every: int = 1000
    latent: tuple[int, ...] = (100,)
    """Dimension of z; of a layered generator's several, the top layer's first."""
    generator: Literal["deconv", "mlp", "layered_deconv", "layered_mlp"] = "deconv"
    """Network of the generator; the layered ones have a z in every layer."""
    width: int = 64
    """Feature factor of a deconvolutional generator, hidden units of a fully connected one."""
    std: float = 0.3
    """σ of p(x|z), for pictures in [-1, 1]."""
    start: Literal["last", "noise"] = "last"
    """Where a chain on z begins: where the example's last one ended, or at fresh noise (short run)."""
    posterior_steps: int = 20
    """Langevin steps on z a visit."""
    posterior_step_size: float = 0.1
    """δ of the chain on z."""
    missing: float = 0.0
    """Share of pixels of each training picture that is never observed."""
    lr: float = 1e-4
    """Adam's rate."""
    beta1: float = 0.5
    """Adam's first β."""

    def __post_init__(self) -> None:
        if not 0 <= self.missing < 1:
            raise InputError(f"missing is a share of the pixels from 0 to below 1, got {self.missing:g}")
        if (len(self.latent) > 1) != self.generator.startswith("layered"):
            raise InputError(
                f"a layered generator has several z and any other one, got {self.generator} and --latent "
                f"{list(self.latent)}: for instance --generator layered_mlp --latent [16,16]"
            )

    def algorithm(self) -> AlternatingBackprop:
        z = StandardNormal(sum(self.latent))
        start = FromNoise(z)
        if self.start == "last":
            start = FromLast(len(self.images("train")), z, rng=stream(self.seed, 0, 0, BANK))
        return AlternatingBackprop(
            z,
            GaussianGenerator(self._net(), self.std),
            posterior_sampler=Langevin(self.posterior_steps, self.posterior_step_size),
            posterior_start=start,
        )

    def _net(self) -> nn.Module:
        shape = (self.channels, self.size, self.size)
        if self.generator == "mlp":
            return mlp_generator(self.latent[0], self.width, shape)
        if self.generator == "layered_mlp":
            return layered_mlp(self.latent, self.width, shape)
        if self.generator == "layered_deconv":
            return layered_deconv(self.latent, self.size, self.channels, self.width)
        return deconv_generator(self.latent[0], self.size, self.channels, self.width)

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        generator = algorithm.get_submodule("generator")
        return {"generator": Adam(generator.parameters(), self.lr, (self.beta1, 0.999))}

    def mask(self, index: Tensor) -> Tensor | None:
        """1 where a training picture's pixel is observed, ``[b, 1, size, size]``; the same whenever it is asked."""
        if not self.missing:
            return None
        return masks(len(self.images("train")), self.size, self.missing, self.seed)[index].float()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        for batch in super().batches(start):
            assert batch.index is not None
            yield batch._replace(mask=self.mask(batch.index))

    def tiny(self) -> Recipe:
        return replace(
            self, steps=4, batch=8, limit=64, width=8, latent=(4,) * len(self.latent), posterior_steps=3,
            log_every=1, checkpoint_every=2,
        )  # fmt: skip


@lru_cache(maxsize=2)
def masks(n: int, size: int, missing: float, seed: int) -> Tensor:
    """``[n, 1, size, size]``, False with probability ``missing``."""
    return torch.rand(n, 1, size, size, generator=stream(seed, 0, 0, MASK)) >= missing
