"""Alternating back-propagation of a linear generator, where everything is known in closed form.

x = W z + b + σ ε with σ given: probabilistic PCA (Tipping and Bishop 1999). The posterior is Gaussian and the best W
follows from the data's covariance, so what chains cost in likelihood can be read off (``reproductions/ppca.py``).
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
from absynth.data.order import minibatches
from absynth.distributions import GaussianGenerator, StandardNormal
from absynth.recipes.recipe import Recipe
from absynth.samplers import FromLast, FromNoise, Langevin
from absynth.seeding import stream
from absynth.types import Batch

TRAIN, TEST, TRUTH, BANK = (int.from_bytes(word, "big") for word in (b"train", b"test", b"true", b"bank"))
"""Keep the data, their law and the first z apart from a step's noise."""


@lru_cache(maxsize=4)
def linear_data(n: int, latent: int, dim: int, std: float, purpose: int) -> Tensor:
    """n draws ``[n, dim]`` of one linear model with entries of W and b from N(0, 1), whatever the seed of the run."""
    law, rng = stream(0, 0, 0, TRUTH), stream(0, 0, 0, purpose)
    w, b = torch.randn(dim, latent, generator=law), torch.randn(dim, generator=law)
    return torch.randn(n, latent, generator=rng) @ w.T + b + std * torch.randn(n, dim, generator=rng)


@dataclass(frozen=True, kw_only=True)
class ABPLinear(Recipe):
    """Alternating back-propagation of a linear generator."""

    steps: int = 3000
    threads: int = 1
    examples: int = 2000
    """Training examples."""
    latent: int = 2
    """Dimension of z."""
    dim: int = 10
    """Dimension of x."""
    std: float = 0.5
    """σ, of the data and of the model."""
    start: Literal["last", "noise"] = "last"
    """Where a chain on z begins: where the example's last one ended, or at fresh noise (short run)."""
    posterior_steps: int = 10
    """Langevin steps on z a visit."""
    posterior_step_size: float = 0.1
    """δ of the chain on z."""
    lr: float = 1e-2
    """Adam's rate at the beginning; it falls to 0 linearly."""

    def algorithm(self) -> AlternatingBackprop:
        z = StandardNormal(self.latent)
        start = FromNoise(z)
        if self.start == "last":
            start = FromLast(self.examples, z, rng=stream(self.seed, 0, 0, BANK))
        return AlternatingBackprop(
            z,
            GaussianGenerator(nn.Linear(self.latent, self.dim), self.std),
            posterior_sampler=Langevin(self.posterior_steps, self.posterior_step_size),
            posterior_start=start,
        )

    def split(self, which: Literal["train", "test"]) -> Tensor:
        """Examples ``[n, dim]``: those that are trained on, or as many others of the same law."""
        return linear_data(self.examples, self.latent, self.dim, self.std, TRAIN if which == "train" else TEST)

    def held_out(self, n: int) -> Tensor:
        return self.split("test")[:n]

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        return {"generator": Adam(algorithm.get_submodule("generator").parameters(), self.lr)}

    def schedule(self, step: int) -> float:
        return 1 - step / self.steps

    def batches(self, start: int = 0) -> Iterator[Batch]:
        x = self.split("train")
        order = minibatches(len(x), self.batch, seed=self.seed, start=start)
        return (Batch(x[index], index=index) for index in order)

    def tiny(self) -> Recipe:
        return replace(self, steps=4, batch=8, examples=64, posterior_steps=3, log_every=1, checkpoint_every=2)
