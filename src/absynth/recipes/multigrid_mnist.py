"""Multi-grid learning on MNIST: 1×1, 7×7, 14×14, 28×28, at a size that one CPU core trains in minutes.

Gao et al. 2018 use factors of 4, 30 noiseless steps a grid on colour pictures, batch normalization and Adam at 0.3.
Here the networks have no normalization (it would couple chains), chains have a little noise, and the coarsest start has
more: of a grey picture's mean alone nothing various could grow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.multigrid import MultiGrid
from absynth.data.images import Images
from absynth.networks.convnet import conv_f
from absynth.networks.mlp import Activation, activation
from absynth.recipes._pictures import PictureRecipe
from absynth.recipes.latent_prior_mnist import read
from absynth.recipes.recipe import Recipe
from absynth.samplers import Langevin


@dataclass(frozen=True, kw_only=True)
class MultiGridMNIST(PictureRecipe):
    """Multi-grid learning (Gao et al. 2018) on MNIST, small networks."""

    size: int = 28
    channels: int = 1
    batch: int = 64
    sizes: ClassVar[tuple[int, ...]] = (7, 14, 28)
    """Grids, coarsest first."""

    steps: int = 900
    checkpoint_every: int = 100
    width: int = 16
    """Maps of the finest f's first layer; they double where the side halves."""
    ebm_activation: Activation = "silu"
    """Activation of f."""
    chain_steps: int = 15
    """K, Langevin steps a grid."""
    step_size: float = math.sqrt(2)
    """δ of x + (δ²/2)·score + noise; for x + η∇f + s·noise it is √(2η)."""
    noise_scale: float = 0.01
    """s of every step."""
    start_noise: float = 0.5
    """Standard deviation of noise added to the coarsest grid's start."""
    data_noise: float = 0.03
    """Standard deviation of noise added to the data."""
    lr: float = 3e-4
    """Adam's rate."""
    # As for any short run at a temperature near 0 (see short_run_images): δ²λ is no statement about variance there, f
    # grows before chains follow, and the one remedy is a smaller rate.
    guard_gap: float = 20.0
    guard_stability: float = 100.0
    guard_step_size: float = 1.0
    guard_learning_rate: float = 0.3

    def read(self, split: Literal["train", "test"]) -> Images:
        return read(self.data, split)

    def algorithm(self) -> MultiGrid:
        nets = [self._net(size, self.width * self.sizes[-1] // size) for size in self.sizes]
        sampler = Langevin(self.chain_steps, self.step_size, self.noise_scale)
        return MultiGrid(
            nets, self.sizes, self.channels, samplers=[sampler] * len(nets), start_noise=self.start_noise,
            data_noise=self.data_noise,
        )  # fmt: skip

    def _net(self, size: int, width: int) -> nn.Module:
        """f of one grid."""
        if size >= 8:
            net = conv_f(self.channels, size, width, self.ebm_activation)
        else:
            net = nn.Sequential(
                nn.Conv2d(self.channels, width, 3, padding=1),
                activation(self.ebm_activation),
                nn.Conv2d(width, width, 3, padding=1),
                activation(self.ebm_activation),
                nn.Conv2d(width, 1, size),
                nn.Flatten(0),
            )
        # Channels last: convolutions of few channels run half as long on a CPU.
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def optimizers(self, algorithm: nn.Module) -> dict[str, Optimizer]:
        players = [f"ebm_{s}" for s in range(len(self.sizes))]
        return {name: Adam(algorithm.get_submodule(name).parameters(), self.lr) for name in players}

    def tiny(self) -> Recipe:
        return replace(self, steps=4, batch=8, limit=64, width=4, chain_steps=3, log_every=1, checkpoint_every=2)
