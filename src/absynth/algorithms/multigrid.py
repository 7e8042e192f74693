"""Multi-grid learning: a pyramid of EBMs, each started from the coarser one's sample, the coarsest from a histogram.

Gao, Lu, Zhou, Zhu, Wu: "Learning Generative ConvNets via Multi-grid Modeling and Sampling", CVPR 2018,
arXiv:1709.08868.

    x^(0) = the image's mean, 1×1: of the data while learning, from its histogram afterwards             (1)
    x^(s) ← K_s Langevin steps on f_s from x^(s−1) with every pixel repeated,  s = 1 … S                   (2)
    ∇_{θ_s} = E_data[∇ f_s(pooled x)] − E_{(2)}[∇ f_s(x)],  all grids in every update                      (3)

While learning a chain starts at its own image's mean, so (3) is contrastive divergence across resolutions. The
authors' chains have no noise, on colour images; where one number is all that an image's start holds (grey ones) the
samples' variety has to come from noise, so ``start_noise`` is added to the coarsest start and the chains have theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE
from absynth.algorithms.pyramid import Pyramid, one_level
from absynth.density import EBM, Density
from absynth.distributions import Uniform
from absynth.errors import InputError
from absynth.networks.histogram import ColourHistogram
from absynth.networks.pooled import pooled_features
from absynth.samplers.multiscale import check_sizes, coarsen, refine
from absynth.seeding import noise_like
from absynth.types import Batch, Rng, Sampler


class MultiGrid(Pyramid):
    """Players: ``ebms.0`` … ``ebms.{S−1}``, one per grid, coarsest first.

    Args:
        nets: f_s of images of each side, ``[b, channels, size, size] -> [b]``.
        sizes: sides of the grids, each a multiple of the one before.
        channels: of the images.
        samplers: K_s steps, one sampler per grid.
        sides: sides of the finest grid, for clips and volumes; by default it is a square image.
        start_noise: standard deviation of noise added to the coarsest grid's start.
        data_noise: standard deviation of noise added to the data.
        bins: of the histogram, along each channel.

    Raises:
        InputError: Not one network and one sampler per grid, or sides that do not nest.
    """

    def __init__(
        self,
        nets: Sequence[nn.Module],
        sizes: Sequence[int],
        channels: int,
        *,
        samplers: Sequence[Sampler],
        sides: Sequence[int] = (),
        start_noise: float = 0.0,
        data_noise: float = 0.0,
        bins: int = 32,
    ) -> None:
        check_sizes(sizes)
        super().__init__(sizes, samplers)
        if len(nets) != len(sizes):
            raise InputError(f"expected a network for each of {len(sizes)} grids, got {len(nets)}")
        self.start_noise, self.data_noise = start_noise, data_noise
        self.histogram = ColourHistogram(channels, bins)
        finest = tuple(sides) or (sizes[-1], sizes[-1])
        self.events = [(channels, *(side * size // sizes[-1] for side in finest)) for size in sizes]
        self.ebms = nn.ModuleList(EBM(net, Uniform(*event)) for net, event in zip(nets, self.events))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}\nstart_noise={self.start_noise:g}, data_noise={self.data_noise:g}"

    def level_density(self, level: int) -> Density:
        return self.ebms[level]()

    def coarsest_start(self, n: int, rng: Rng) -> Tensor:
        return self.started(self.histogram.sample(n, rng), rng)

    def started(self, colours: Float[Tensor, "b c *ones"], rng: Rng) -> Tensor:
        """Images of one colour at the coarsest grid, with the noise that chains start with."""
        ones = [1] * (len(self.events[0]) - 1)
        x = colours.clamp(-1, 1).view(len(colours), self.events[0][0], *ones).expand(-1, *self.events[0])
        return x + self.start_noise * noise_like(x, rng) if self.start_noise else x

    def coarser_samples(self, n: int, rng: Rng) -> Tensor:
        if len(self.sizes) == 1:
            raise one_level()
        return self.synthesize(self.histogram.sample(n, rng), len(self.sizes) - 1, rng=rng)[-1]

    def features(self, x: Tensor) -> Float[Tensor, "b d"]:
        grids = zip(self.ebms, self.sizes)
        return torch.cat([pooled_features(ebm.f, coarsen(x, size)) for ebm, size in grids], 1)  # type: ignore[arg-type]

    def explain_metrics(self) -> dict[str, str]:
        return {f"ebms.{s}": ENERGY_DIFFERENCE for s in range(len(self.sizes))}

    def synthesize(self, colours: Float[Tensor, "b c *ones"], grids: int | None = None, *, rng: Rng) -> list[Tensor]:
        """x⁻ of every grid, or of the first few, by (2) from mean colours; clamped to [−1, 1] between grids only."""
        x, pyramid = colours, []
        for s, size in enumerate(self.sizes[:grids]):
            x = refine(x.clamp(-1, 1), size) if s else self.started(x, rng)
            log_density = self.level_density(s).log_density
            x = self.run_chain(f"ebms.{s}", self.level_samplers[s], log_density, x, rng=rng)
            pyramid.append(x)
        return pyramid

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        colours = batch.x.flatten(2).mean(2)  # (1)
        self.histogram.add(colours.detach())
        losses = {}
        for s, x_neg in enumerate(self.synthesize(colours, rng=rng)):
            x = coarsen(batch.x, self.sizes[s])
            x_pos = x + self.data_noise * noise_like(x, rng) if self.data_noise else x
            f = self.level_density(s).f
            losses[f"ebms.{s}"] = f(x_neg).mean() - f(x_pos).mean()  # −(3)
        return losses

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n images at the finest side: mean colours from the histogram (1), then (2)."""
        return self.synthesize(self.histogram.sample(n, rng), rng=rng)[-1].clamp(-1, 1)
