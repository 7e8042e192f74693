"""Fixed filters and the densities that are learned on them: Gabor wavelets and their like.

Zhu, Wu, Mumford: "Filters, Random Fields and Maximum Entropy (FRAME)", IJCV 1998; the Gabor wavelets are those of the
group's later code (Xie, Hu, Zhu, Wu 2015). Filters are applied on the torus through the Fourier transform, since they
are many and as large as a third of the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from absynth.errors import InputError
from absynth.networks.mlp import Activation, activation

SCALES = (0.4, 0.7, 1.1)
"""Of the Gabor wavelets; a wave is 2π times as many pixels long."""


def _axes(half: int) -> tuple[Tensor, Tensor]:
    side = torch.arange(-half, half + 1, dtype=torch.float64)
    y, x = torch.meshgrid(side, side, indexing="ij")
    return x, y


def _unit(kernel: Tensor) -> Float[Tensor, "k k"]:
    return (kernel / kernel.norm()).float()


def gabor(scale: float, angle: float) -> tuple[Float[Tensor, "k k"], Float[Tensor, "k k"]]:
    """The cosine and the sine wavelet, of mean zero and norm 1, on a disk of radius 12 · scale.

    exp(−(4x² + y²)/100) times cos x or sin x, with (x, y) the pixel turned by ``angle`` and divided by ``scale``.

    Raises:
        InputError: The disk is less than a pixel.
    """
    half = math.floor(12 * scale + 0.5)
    if half < 1:
        raise InputError(f"expected Gabor scales of 0.05 or more (a wave is 2π times as many pixels), got {scale:g}")
    x0, y0 = _axes(half)
    x = (x0 * math.cos(angle) + y0 * math.sin(angle)) / scale
    y = (y0 * math.cos(angle) - x0 * math.sin(angle)) / scale
    envelope = torch.where(x0**2 + y0**2 <= half**2, (-(4 * x**2 + y**2) / 100).exp(), 0.0)
    even, odd = envelope * x.cos(), envelope * x.sin()
    even = even - envelope * (even.sum() / envelope.sum())
    return _unit(even), _unit(odd)


def laplacian_of_gaussian(std: float) -> Float[Tensor, "k k"]:
    """(2 − r²/std²) exp(−r²/(2 std²)), of mean zero and norm 1."""
    x, y = _axes(math.ceil(4 * std))
    r2 = (x**2 + y**2) / std**2
    kernel = (2 - r2) * (-r2 / 2).exp()
    return _unit(kernel - kernel.mean())


def frame_bank(scales: Sequence[float] = SCALES, orientations: int = 8) -> Float[Tensor, "n k k"]:
    """The filters of a texture model, centred in kernels of one odd side.

    The intensity itself, Laplacians of Gaussians of standard deviation 0.5, 1 and 2 pixels, and cosine and sine
    wavelets at each scale and orientation: 52 in all by default. The first Laplacian is there for the checkerboard,
    which no wavelet sees and p_0 would leave at full strength.

    >>> frame_bank().shape
    torch.Size([52, 27, 27])
    """
    filters = [torch.ones(1, 1)]
    filters += [laplacian_of_gaussian(std) for std in (0.5, 1.0, 2.0)]
    for scale in scales:
        for i in range(orientations):
            filters += gabor(scale, math.pi * i / orientations)
    side = max(len(f) for f in filters)
    return torch.stack([F.pad(f, [(side - len(f)) // 2] * 4) for f in filters])


def differences() -> Float[Tensor, "3 3 3"]:
    """Between neighbours across, down, and in a 2×2 checkerboard; of norm 1.

    Wavelets hardly see the finest waves that a grid can hold, and a model that does not see them leaves them as they
    are in p_0, which looks like a fine lattice over the texture.

    >>> differences().flatten(1).norm(dim=1).round(decimals=4)
    tensor([1., 1., 1.])
    """
    across, down, checks = torch.zeros(3, 3, 3).unbind()
    across[1, 1:] = torch.tensor([1.0, -1.0])
    down[1:, 1] = torch.tensor([1.0, -1.0])
    checks[1:, 1:] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    return torch.stack([_unit(kernel) for kernel in (across, down, checks)])


def texture_filters() -> Float[Tensor, "55 k k"]:
    """The filters of FRAME: the 52 of :func:`frame_bank` and the three differences of neighbours."""
    filters = frame_bank()
    return torch.cat([filters, F.pad(differences(), [(filters.shape[-1] - 3) // 2] * 4)])


class FilterBank(nn.Module):
    """Responses of grey images to fixed filters, ``[b, 1, h, w] -> [b, n, h', w']``.

    An image of ``size`` pixels a side is a torus, and has a response at every pixel. A larger one is a piece of
    something larger still, and has responses only where a whole filter lies in it.
    """

    kernels: Tensor
    spectrum: Tensor

    def __init__(self, kernels: Float[Tensor, "n k k"], size: int) -> None:
        super().__init__()
        if not kernels.shape[-1] <= size:
            raise InputError(f"a texture must be at least as large as its filters, got {size} and {kernels.shape[-1]}")
        self.size = size
        self.margin = kernels.shape[-1] - 1
        self.register_buffer("kernels", kernels, persistent=False)
        self.register_buffer("spectrum", self._spectrum(size), persistent=False)

    def _spectrum(self, size: int) -> Tensor:
        """The transform of kernels centred at the origin, conjugate: a correlation, as every convolution here is."""
        half, k = self.margin // 2, self.margin + 1
        padded = F.pad(self.kernels, [0, size - k, 0, size - k]).roll((-half, -half), (1, 2))
        return torch.fft.rfft2(padded).conj()

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b n h2 w2"]:
        side = x.shape[-1]
        if x.shape[-2] != side or not (side == self.size or side > self.margin):
            raise InputError(f"images must be squares of {self.size} or more than {self.margin}, got {list(x.shape)}")
        spectrum = self.spectrum if side == self.size else self._spectrum(side)
        responses = torch.fft.irfft2(torch.fft.rfft2(x) * spectrum, s=(side, side))
        if side == self.size:
            return responses
        half = self.margin // 2
        return responses[..., half : side - half, half : side - half]


class FrameF(nn.Module):
    """f(x) = Σ_k Σ_pixels λ_k |r_k| + Σ_τ λ⁺_kτ (r_k − τ)₊ + λ⁻_kτ (−r_k − τ)₊: FRAME, linear in what is learned.

    r_k are responses in units of s_k. Maximum likelihood matches the means of all these potentials to those of the
    texture. |r| alone does not see the sign of a response, nor whether many places respond a little or few strongly:
    the tails beyond ±τ do (FRAME's own potentials are histograms; these are piecewise linear on fewer pieces).
    Σ over pixels is the mean over those that have a response, times size², so that pieces of any side count alike.

    Args:
        bank: the filters.
        scale: s_k ``[n]``, the standard deviation of each response in the data, so that one learning rate fits all.
        tails: thresholds τ > 0, in units of s_k.
    """

    scale: Tensor

    def __init__(self, bank: FilterBank, scale: Float[Tensor, "n"], tails: Sequence[float] = ()) -> None:
        super().__init__()
        self.bank = bank
        self.tails = tuple(tails)
        self.register_buffer("scale", scale)
        self.weight = nn.Parameter(scale.new_zeros(len(scale) * (1 + 2 * len(self.tails))))

    def extra_repr(self) -> str:
        return f"tails={self.tails}"

    def statistics(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b m"]:
        """Means over each image: |r_k| of every filter, then for each τ the upper tails and the lower ones."""
        r = self.bank(x) / self.scale[:, None, None]
        parts = [r.abs()]
        for tail in self.tails:
            parts += [F.relu(r - tail), F.relu(-r - tail)]
        return torch.cat([part.mean((2, 3)) for part in parts], 1)

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b"]:
        return self.statistics(x) @ self.weight * self.bank.size**2


class TextureConv(nn.Module):
    """A generative ConvNet of textures, ``[b, c, h, w] -> [b]``: the sum over positions of one and the same score.

    Two strided convolutions and a third that scores (Xie et al. 2016, with smaller filters and no pooling). As in
    :class:`FilterBank` an image of ``size`` pixels is a torus and a larger one a piece, scored where it is whole.
    """

    margin = 21
    """What a piece has to be larger by, to be scored at as many positions as a torus."""

    def __init__(self, channels: int, size: int, width: int, act: Activation = "silu") -> None:
        super().__init__()
        if size % 4 or size <= self.margin:
            raise InputError(
                f"a texture's side must be a multiple of 4 above {self.margin}, got {size}: give --size 64"
            )
        self.size = size
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 9, stride=2),
            activation(act),
            nn.Conv2d(width, 2 * width, 5, stride=2),
            activation(act),
            nn.Conv2d(2 * width, 1, 3),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b"]:
        if x.shape[-1] == self.size:
            left = self.margin // 2
            x = F.pad(x, [left, self.margin - left] * 2, mode="circular")
        return self.net(x).mean((1, 2, 3)) * (self.size // 4) ** 2
