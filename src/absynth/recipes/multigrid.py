"""Multi-grid learning (Gao, Lu, Zhou, Zhu, Wu 2018, arXiv:1709.08868).

A network per grid, each started from the coarser one's sample.

The paper uses factors of 4, 30 noiseless steps per grid on colour images, batch normalization and Adam at 0.3. Here
sides double, the networks have no normalization (it would couple chains), chains have a little noise, and the coarsest
start has more: from a grey image's mean alone nothing various could grow.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.multigrid import MultiGrid
from absynth.networks.convnet import conv_f, small_conv_f
from absynth.networks.ready import channels_last
from absynth.recipes._multiscale import MultiscaleRecipe
from absynth.recipes.bounds import Count, NonNegative
from absynth.recipes.presets import Preset
from absynth.samplers import Langevin

PRESETS = {
    "mnist": Preset(
        minutes=4, recorded="multigrid_labels_mnist.error from 1000 labels", steps=900, checkpoint_every=100,
        energy_width=16,
    ),
    "flag": Preset(
        minutes=5, steps=300, batch=4, threads=1, grids=2, energy_strided=True, energy_width=16, energy_lr=1e-3
    ),
    "modelnet10": Preset(
        minutes=3, size=16, steps=220, checkpoint_every=100, batch=16, threads=1, energy_strided=True, energy_width=16,
        energy_lr=1e-3, start_noise=0.3,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MultiGridRecipe(MultiscaleRecipe):
    """Multi-grid energy-based models of images, clips or shapes (Gao et al. 2018)."""

    steps: Count = 30_000
    energy_strided: bool = False
    """Whether the first convolution halves the sides too where they are 16 or more, which is several times as fast."""
    noise_scale: NonNegative = 0.01
    """Standard deviation s of the noise of every step."""
    start_noise: NonNegative = 0.5
    """Standard deviation of noise added to the coarsest grid's start."""

    def algorithm(self) -> MultiGrid:
        sizes, channels = self.sizes, self.shape[0]
        nets = []
        for size in sizes:
            sides = self.sides(size)
            width = self.energy_width * sizes[-1] // size
            if min(sides) < 8:
                net = small_conv_f(channels, sides, width, self.energy_activation)
            else:
                stem = 2 if self.energy_strided and min(sides) >= 16 else 1
                net = conv_f(channels, sides, width, self.energy_activation, stem=stem)
            nets.append(channels_last(net) if len(sides) == 2 else net)
        sampler = Langevin(self.chain_steps, self.chain_step_size, self.noise_scale)
        return MultiGrid(
            nets, sizes, channels, samplers=[sampler] * len(nets), sides=self.shape[1:], start_noise=self.start_noise,
            data_noise=self.data_noise,
        )  # fmt: skip

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        players = [f"ebms.{level}" for level in range(self.grids)]
        return {name: Adam(algorithm.get_submodule(name).parameters(), self.energy_lr) for name in players}
