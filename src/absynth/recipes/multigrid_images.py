"""Multi-grid learning of a user's own pictures: a network a grid, each started from the coarser one's sample.

Gao et al. 2018 use factors of 4, 30 noiseless steps a grid on colour pictures, batch normalization and Adam at 0.3.
Here sides double, the networks have no normalization (it would couple chains), chains have a little noise, and the
coarsest start has more: of a grey picture's mean alone nothing various could grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from absynth.algorithms.multigrid import MultiGrid
from absynth.networks.convnet import conv_f
from absynth.networks.mlp import activation
from absynth.recipes._pyramid import PyramidRecipe
from absynth.samplers import Langevin


@dataclass(frozen=True, kw_only=True)
class MultiGridImages(PyramidRecipe):
    """Multi-grid learning (Gao et al. 2018) on your own pictures."""

    steps: int = 30_000
    noise_scale: float = 0.01
    """s of every step."""
    start_noise: float = 0.5
    """Standard deviation of noise added to the coarsest grid's start."""

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
