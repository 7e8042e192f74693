"""Fixed statistics h(x) and the negative energies that are linear in them, f(x) = ⟨λ, h(x)⟩: FRAME in all its forms.

Homogeneous models average a response over positions (Zhu, Wu, Mumford, IJCV 1998); inhomogeneous ones keep each
position (Xie, Hu, Zhu, Wu, CVPR 2014); sparse ones keep a few wavelets (Xie, Hu, Zhu, Wu, IJCV 2015); the filters may
be those of any network (Lu, Zhu, Wu, AAAI 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from absynth.errors import InputError
from absynth.networks.filters import FilterBank

Potential = Literal["absolute", "rectified"]
"""|r| of a response, as in the papers; or r₊ and (−r)₊, which keep its sign."""
LARGEST_MATRIX = 2**24
"""Entries of the largest matrix of all local responses."""


def potentials(r: Float[Tensor, "b m"], kind: Potential) -> Float[Tensor, "b m2"]:
    """The statistics of responses."""
    return r.abs() if kind == "absolute" else torch.cat([r.relu(), (-r).relu()], 1)


class ExponentialF(nn.Module):
    """f(x) = Σ_j λ_j h_j(x), linear in what is learned, so that maximum likelihood matches E[h].

    Args:
        statistics: h, ``x -> [b, m]``, with nothing to learn.
        size: m.
    """

    active: Tensor

    def __init__(self, statistics: nn.Module, size: int) -> None:
        super().__init__()
        self.statistics = statistics.requires_grad_(False)
        self.weight = nn.Parameter(torch.zeros(size))
        self.register_buffer("active", torch.ones(size, dtype=torch.bool))

    def extra_repr(self) -> str:
        return f"size={len(self.weight)}"

    @property
    def weights(self) -> Float[Tensor, "m"]:
        """λ, 0 for statistics that are not in use."""
        return self.weight * self.active

    def forward(self, x: Tensor) -> Float[Tensor, "b"]:
        return self.statistics(x) @ self.weights


class Histograms(nn.Module):
    """Marginal histograms of filter responses, summed over positions: FRAME's own potentials, piecewise linear.

    A response r/s between two bin centres counts for both, in proportion: hat functions, which sum to 1 and have a
    gradient. Responses beyond the outer centres count for those.

    Args:
        bank: The filters.
        scale: s_k ``[n]``, the standard deviation of each response in the data.
        centers: Bin centres in units of s_k, increasing and evenly spaced.

    Raises:
        InputError: There are fewer than 3 bins.
    """

    scale: Tensor
    centers: Tensor

    def __init__(self, bank: FilterBank, scale: Float[Tensor, "n"], centers: Sequence[float]) -> None:
        super().__init__()
        if len(centers) < 3:
            raise InputError(f"a histogram needs 3 bins or more, got {len(centers)}")
        self.bank = bank
        self.register_buffer("scale", scale)
        self.register_buffer("centers", torch.tensor(centers, dtype=scale.dtype), persistent=False)

    @property
    def size(self) -> int:
        """Number of statistics: filters times bins."""
        return len(self.scale) * len(self.centers)

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b m"]:
        low, width, bins = self.centers[0], self.centers[1] - self.centers[0], len(self.centers)
        r = (self.bank(x) / self.scale[:, None, None]).flatten(2)
        u = ((r - low) / width).clamp(0, bins - 1)
        k = u.detach().floor().long().clamp(max=bins - 2)
        upper = u - k  # share of the bin above
        h = torch.zeros(*r.shape[:2], bins, dtype=x.dtype, device=x.device)
        h = h.scatter_add(2, k, 1 - upper).scatter_add(2, k + 1, upper)
        return h.flatten(1) * (self.bank.size**2 / r.shape[2])


class LocalResponses(nn.Module):
    """Potentials of every filter's response at every position at which the filter lies within the image.

    On small images all responses are one matrix product, ten times as fast as a convolution of one channel.

    Args:
        kernels: Filters, centred in kernels of one odd side.
        size: Height and width of the images.
        scale: s_k ``[n]``: responses are divided by it.
        potential: |r|, or both rectified halves of r.

    Raises:
        InputError: A filter is larger than the images.
    """

    kernels: Tensor
    inside: Tensor
    matrix: Tensor | None

    def __init__(
        self,
        kernels: Float[Tensor, "n k k"],
        size: tuple[int, int],
        scale: Float[Tensor, "n"],
        potential: Potential = "absolute",
    ) -> None:
        super().__init__()
        self.potential: Potential = potential
        if kernels.shape[-1] > min(size):
            raise InputError(
                f"filters of {kernels.shape[-1]} pixels are larger than images of {min(size)}: give smaller "
                "--gabor-scales"
            )
        self.register_buffer("kernels", kernels / scale[:, None, None], persistent=False)
        self.register_buffer("inside", inside(kernels, size), persistent=False)
        pixels, matrix = size[0] * size[1], None
        if pixels * int(self.inside.sum()) <= LARGEST_MATRIX:
            each = torch.eye(pixels, dtype=kernels.dtype, device=kernels.device).view(pixels, 1, *size)
            matrix = self.responses(each)[:, self.inside]
        self.register_buffer("matrix", matrix, persistent=False)

    @property
    def size(self) -> int:
        """Number of statistics: filters times positions inside, times 2 for rectified ones."""
        return int(self.inside.sum()) * (1 if self.potential == "absolute" else 2)

    def responses(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b n h w"]:
        """r_kx of every filter at every position; 0 where the filter reaches over the border."""
        half = self.kernels.shape[-1] // 2
        return F.conv2d(F.pad(x, [half] * 4), self.kernels[:, None]) * self.inside

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b m"]:
        r = self.responses(x)[:, self.inside] if self.matrix is None else x.flatten(1) @ self.matrix
        return potentials(r, self.potential)

    def within(self, of_all: Shaped[Tensor, "m"]) -> Shaped[Tensor, "k"]:
        """From numbers of every filter at every position of the image, those of the statistics."""
        kept = self.inside.flatten().repeat(1 if self.potential == "absolute" else 2)
        return of_all[kept] if len(of_all) == len(kept) else of_all


class WaveletResponses(nn.Module):
    """Potentials of the responses ⟨x, B_j⟩ of a few wavelets at fixed places.

    Args:
        wavelets: B ``[m, *event]``, of norm 1.
        potential: |r|, or both rectified halves of r.
    """

    wavelets: Tensor

    def __init__(self, wavelets: Float[Tensor, "m *event"], potential: Potential = "absolute") -> None:
        super().__init__()
        self.potential: Potential = potential
        self.register_buffer("wavelets", wavelets)

    @property
    def size(self) -> int:
        """Number of statistics: wavelets, times 2 for rectified ones."""
        return len(self.wavelets) * (1 if self.potential == "absolute" else 2)

    def forward(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b m"]:
        return potentials(x.flatten(1) @ self.wavelets.flatten(1).T, self.potential)


class NetworkResponses(nn.Module):
    """Responses of the filters of a trained network, whose weights stay as they are.

    Args:
        net: ``[b, c, h, w] -> [b, n, h', w']``: the first layers of a classifier trained here, or of one of your own.
        shape: Shape of one example.
        pooled: Whether to average over positions (a texture) or keep them (aligned objects).
    """

    def __init__(self, net: nn.Module, shape: tuple[int, int, int], *, pooled: bool) -> None:
        super().__init__()
        self.net, self.pooled = net, pooled
        with torch.no_grad():
            maps = net(torch.zeros(1, *shape))
        self.size = maps.shape[1] if pooled else maps[0].numel()
        self.positions = maps[0, 0].numel()

    def extra_repr(self) -> str:
        return f"pooled={self.pooled}"

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b m"]:
        maps = self.net(x)
        return maps.mean((2, 3)) * self.positions if self.pooled else maps.flatten(1)


def inside(kernels: Float[Tensor, "n k k"], size: tuple[int, int]) -> Bool[Tensor, "n h w"]:
    """Positions at which a filter lies within the image: its own size counts, not that of the padded kernel."""
    middle = kernels.shape[-1] // 2
    axis = (torch.arange(kernels.shape[-1]) - middle).abs()
    reach = torch.maximum(axis[:, None], axis[None]).expand_as(kernels)
    half = torch.where(kernels.abs() > 1e-8, reach, 0).amax((1, 2))
    rows, columns = (torch.arange(side) for side in size)
    near = torch.minimum(rows, size[0] - 1 - rows)[:, None].minimum(torch.minimum(columns, size[1] - 1 - columns))
    return near[None] >= half[:, None, None]
