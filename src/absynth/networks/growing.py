"""f of images at several resolutions, one network a resolution, each grown from the one before (CF-EBM)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from absynth.errors import InputError
from absynth.networks.mlp import Activation, activation
from absynth.networks.strided import CONVOLUTIONS


class Stage(nn.Module):
    """f at one resolution: ``trunk((1 − fade) · pooled(x averaged by 2) + fade · block(image(x)))``.

    ``trunk`` and ``pooled`` begin as copies of the parent's network, so that at fade 0 this f is the parent's of the
    pooled image, exactly; ``image`` and ``block`` are new and come in as ``fade`` rises to 1.
    """

    def __init__(
        self, image: nn.Module, block: nn.Sequential, trunk: nn.Sequential, pooled: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.image, self.block, self.trunk, self.pooled = image, block, trunk, pooled

    def forward(self, x: Float[Tensor, "b c *sides"], fade: Float[Tensor, "b"] | None = None) -> Float[Tensor, "b"]:
        h = self.block(self.image(x))
        if self.pooled is not None and fade is not None:
            share = fade.view(-1, *[1] * (x.ndim - 1))
            pool = functional.avg_pool2d if x.ndim == 4 else functional.avg_pool3d
            h = share * h + (1 - share) * self.pooled(pool(x, 2))
        return self.trunk(h)

    def grow_from(self, parent: Stage) -> None:
        """Copy the parent: its way in to ``pooled``, all that follows to ``trunk``."""
        assert self.pooled is not None
        below = [*parent.block.parameters(), *parent.trunk.parameters()]
        with torch.no_grad():
            for mine, theirs in zip(self.pooled.parameters(), parent.image.parameters(), strict=True):
                mine.copy_(theirs)
            for mine, theirs in zip(self.trunk.parameters(), below, strict=True):
                mine.copy_(theirs)


class GrowingConv(nn.Module):
    """f of an image at any of its resolutions, ``([b, channels, s, s], fade [b]) -> [b]``.

    Each resolution has a network of its own, because the stages that led to a finer one are needed again to sample.
    The finest is the layout of :func:`absynth.networks.convnet.conv_f` with one 3×3 convolution more at the bottom.

    Args:
        channels: of the image.
        sizes: sides, coarsest first, each twice the one before; of clips and volumes their last side.
        width: maps of the finest resolution's first layer; they double where the side halves.
        act: the activation; smooth ones keep Langevin steady (CF-EBM's ablation).
        coarsest: sides of the coarsest resolution, for clips and volumes; by default it is a square image.
    """

    def __init__(
        self, channels: int, sizes: Sequence[int], width: int, act: Activation = "silu", coarsest: Sequence[int] = ()
    ) -> None:
        super().__init__()
        if not sizes or any(b != 2 * a for a, b in itertools.pairwise(sizes)):
            raise InputError(f"sizes must double, coarsest first, got {list(sizes)}: for instance 8 16 32")
        self.sizes = tuple(sizes)
        coarsest = tuple(coarsest) or (sizes[0], sizes[0])
        convolution = CONVOLUTIONS[len(coarsest)]
        widths = [width * 2 ** (len(sizes) - 1 - s) for s in range(len(sizes))]

        def image(s: int) -> nn.Module:
            return convolution(channels, widths[s], 3, padding=1)

        def block(s: int) -> list[nn.Module]:
            return [activation(act), convolution(widths[s], widths[s - 1], 4, stride=2, padding=1)]

        def bottom() -> list[nn.Module]:
            inner = convolution(widths[0], widths[0], 3, padding=1)
            return [activation(act), inner, activation(act), convolution(widths[0], 1, coarsest), nn.Flatten(0)]

        stages = [Stage(image(0), nn.Sequential(), nn.Sequential(*bottom()))]
        for s in range(1, len(sizes)):
            trunk = [m for r in range(s - 1, 0, -1) for m in block(r)] + bottom()
            stages.append(Stage(image(s), nn.Sequential(*block(s)), nn.Sequential(*trunk), image(s - 1)))
        self.stages = nn.ModuleList(stages)

    def stage(self, size: int) -> int:
        """The stage of images of that side."""
        if size not in self.sizes:
            raise InputError(f"images must have a side of {', '.join(map(str, self.sizes))} pixels, got {size}")
        return self.sizes.index(size)

    def forward(self, x: Float[Tensor, "b c *sides"], fade: Float[Tensor, "b"] | None = None) -> Float[Tensor, "b"]:
        return self.stages[self.stage(x.shape[-1])](x, fade)

    def grow(self, stage: int) -> None:
        """Make a stage begin where the one before it stands."""
        child, parent = self.stages[stage], self.stages[stage - 1]
        assert isinstance(child, Stage)
        assert isinstance(parent, Stage)
        child.grow_from(parent)
