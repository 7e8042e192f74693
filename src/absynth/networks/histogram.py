"""A law of mean colours that is counted while data pass by."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.seeding import empty_rows, uniform_like
from absynth.types import Rng


class ColourHistogram(nn.Module):
    """The law of images' mean colours: counts over bins of [−1, 1]^channels, kept as buffers while data pass by.

    Args:
        channels: 1 or 3.
        bins: along each channel.
    """

    counts: Tensor
    width: Tensor

    def __init__(self, channels: int, bins: int = 32) -> None:
        super().__init__()
        self.channels, self.bins = channels, bins
        self.register_buffer("counts", torch.zeros(bins**channels, dtype=torch.int64))
        self.register_buffer("width", torch.tensor(2 / bins), persistent=False)

    def add(self, colours: Float[Tensor, "b c *ones"]) -> None:
        """Count b mean colours."""
        index = ((colours.flatten(1) + 1) / 2 * self.bins).long().clamp(0, self.bins - 1)  # [b, c]
        place = self.bins ** torch.arange(self.channels, device=index.device)
        cells = (index * place).sum(1)
        self.counts.index_add_(0, cells, torch.ones_like(cells, dtype=self.counts.dtype))

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n c 1 1"]:
        """n mean colours: a bin by its count, a place in it uniformly; all uniform before anything was counted."""
        u = uniform_like(empty_rows(n, self.channels + 1, like=self.width), rng)
        counts = self.counts if self.counts.any() else torch.ones_like(self.counts)
        upto = counts.cumsum(0).double()
        cell = torch.searchsorted(upto, u[:, 0].double() * upto[-1], right=True).clamp(max=len(counts) - 1)
        index = cell[:, None] // self.bins ** torch.arange(self.channels, device=cell.device) % self.bins
        return ((index + u[:, 1:]) * self.width - 1)[:, :, None, None]
