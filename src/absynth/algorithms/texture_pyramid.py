"""A texture from one image: patches of the synthesis have the distributions of the image's, scale after scale.

FRAME's statistics with unlimited filters (Zhu, Wu, Mumford, IJCV 1998): the histograms of responses r_w = ⟨w, patch⟩ to
random filters w, drawn anew for each update, on a pyramid of scales.

    D(x) = E_w[W_1(r_w(x), r_w(image))],   w uniform on the unit sphere of k × k patches               (1)
    W_1(r, r') = mean_i |r_(i) − r'_(i)|,  sorted responses                                           (2)
    x ← x − Adam(∇D(x)), from noise at the coarsest scale, from the enlarged coarser texture above     (3)

Two images with D = 0 are of one Julesz ensemble: projections fix the distribution of patches (Cramér and Wold). (3)
minimizes D: it is not maximum likelihood and samples no stated law. A synthesized texture is a torus of any size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import Algorithm
from absynth.errors import InputError
from absynth.networks.canvas import Canvas, Scales, descended, fading, resized
from absynth.networks.patches import patch_distance
from absynth.seeding import empty_rows, noise_like
from absynth.types import Batch, Rng


class TexturePyramid(Algorithm):
    """Player: ``canvas``, the textures themselves.

    Args:
        image: The exemplar ``[c, h, w]``.
        side: Side of a synthesized texture, or its height and width.
        steps: Updates of each scale, coarsest first; their sum is a whole synthesis.
        factor: Ratio of one scale to the next.
        patch: Side k of a patch, odd.
        filters: Number of random filters per update.
        textures: Number of textures on the canvas.
        step_size: Learning rate of Adam on the pixels, in ``sample``.
        noise: Standard deviation of noise that is added to the pixels at the coarsest scale, fading out.

    Raises:
        InputError: A patch is larger than the image at the coarsest scale.
    """

    image: Tensor
    level: Tensor
    torus = True
    margin = False
    """Whether synthesis has a margin of half a patch, cut off at the end of a scale."""

    def __init__(
        self,
        image: Float[Tensor, "c h w"],
        *,
        side: int | tuple[int, int],
        steps: Sequence[int],
        factor: float = 2**0.5,
        patch: int = 9,
        filters: int = 32,
        textures: int = 2,
        step_size: float = 0.02,
        noise: float = 0.02,
    ) -> None:
        super().__init__()
        self.size = (side, side) if isinstance(side, int) else side
        self.patch, self.scales = patch, Scales(tuple(steps), factor, patch // 2 if self.margin else 0)
        self.filters, self.step_size, self.noise, self.share = filters, step_size, noise, 0.0
        smallest = round(min(*self.size, *image.shape[1:]) / factor ** (len(steps) - 1))
        if patch > smallest:
            raise InputError(
                f"filters of {patch} pixels are larger than the image at its coarsest scale, {smallest} pixels: "
                "give a smaller --patch, fewer --scales or a larger --side"
            )
        self.register_buffer("image", image)
        self.register_buffer("level", torch.tensor(-1))
        self.canvas = Canvas(textures, len(image), [self.scales.with_margin(s) for s in self.scales.sizes(self.size)])

    def extra_repr(self) -> str:
        return f"size={self.size}, steps={self.scales.steps}, patch={self.patch}, filters={self.filters}"

    def exemplar(self, level: int) -> Float[Tensor, "1 c h w"]:
        """The image at a scale."""
        return resized(self.image[None], self.scales.sizes(self.image.shape[1:])[level])

    def distance(
        self, x: Float[Tensor, "b c h w"], image: Float[Tensor, "1 c h2 w2"], *, rng: Rng
    ) -> Float[Tensor, "b"]:
        """D(x), (1) with the sorted responses of (2), by a draw of filters for each texture."""
        return patch_distance(x, image, patch=self.patch, filters=self.filters, torus=self.torus, rng=rng)

    def set_progress(self, share: float) -> None:
        self.share = share

    def begin(self, level: int, coarser: Tensor | None, like: Tensor, *, rng: Rng) -> Tensor:
        """First textures of a scale: noise of the image's mean and contrast, or the coarser ones enlarged."""
        if coarser is not None:
            return self.scales.enlarged(coarser, like.shape[2:])
        image = self.exemplar(level)
        return image.mean((2, 3), keepdim=True) + image.std() * noise_like(like, rng)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        level, within = self.scales.at(self.share)
        x = self.canvas.scales[level]
        with torch.no_grad():
            if level != int(self.level):
                coarser = self.scales.without_margin(self.canvas.scales[level - 1]) if level else None
                x.copy_(self.begin(level, coarser, x, rng=rng))
                self.level.fill_(level)
            if level == 0:
                x.add_(fading(self.noise, within) * noise_like(x, rng))
        return {"canvas": self.distance(x, self.exemplar(level), rng=rng).sum()}  # (1), of each texture

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n textures by (3), each from noise of its own."""
        if n < 1:
            return empty_rows(n, len(self.image), *self.size, like=self.image)
        coarser: list[Tensor] = []
        for level, size in enumerate(self.scales.sizes(self.size)):
            like = self.image.new_empty(n, len(self.image), *self.scales.with_margin(size))
            x = self.begin(level, coarser[-1] if level else None, like, rng=rng)
            coarser.append(self.minimize(x, level, self.scales.steps[level], rng=rng))
        return coarser[-1]

    def set_size(self, height: int, width: int = 0) -> None:
        self.size = (height, width or height)

    def minimize(
        self, x: Tensor, level: int, steps: int, *, rate: float = 1.0, noise: float | None = None, rng: Rng
    ) -> Tensor:
        """(3) at one scale, the margin cut off.

        Args:
            x: Images in synthesis.
            level: The scale.
            steps: Updates.
            rate: Factor on the step size.
            noise: Replaces the standard deviation of the coarsest scale's noise.
            rng: Source of randomness.
        """
        image = self.exemplar(level)
        noise = noise if noise is not None else self.noise if level == 0 else 0.0
        x = descended(lambda x: self.distance(x, image, rng=rng), x, steps, rate * self.step_size, noise=noise, rng=rng)
        return self.scales.without_margin(x)

    def explain_metrics(self) -> dict[str, str]:
        return {"canvas": "is the distance of patch distributions to the image's, summed over textures, at one scale"}
