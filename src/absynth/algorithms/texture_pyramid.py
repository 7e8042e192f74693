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
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from absynth.algorithms.algorithm import Algorithm
from absynth.errors import InputError
from absynth.networks.canvas import Canvas, resized
from absynth.networks.patches import patch_distance
from absynth.seeding import empty_rows, noise_like
from absynth.types import Batch, Rng


class TexturePyramid(Algorithm):
    """Player: ``canvas``, the textures themselves.

    Args:
        image: The exemplar ``[c, h, w]``.
        side: Side of a synthesized texture, or its height and width.
        scales: Number of scales.
        factor: Ratio of one scale to the next.
        patch: Side k of a patch, odd.
        filters: Number of random filters per update.
        textures: Number of textures on the canvas.
        steps: Updates of each scale, coarsest first; their sum is a whole synthesis.
        step_size: Learning rate of Adam on the pixels, in ``sample``.
        noise: Standard deviation of noise that is added to the pixels at the coarsest scale, fading out.

    Raises:
        InputError: A patch is larger than the image at the coarsest scale.
    """

    image: Tensor
    level: Tensor
    torus = True
    margin = 0
    """Pixels beyond each edge in synthesis, which are cut off at the end of a scale."""

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
        self.steps, self.factor, self.patch = tuple(steps), factor, patch
        self.filters, self.step_size, self.noise, self.share = filters, step_size, noise, 0.0
        smallest = round(min(*self.size, *image.shape[1:]) / factor ** (len(steps) - 1))
        if patch > smallest:
            raise InputError(
                f"filters of {patch} pixels are larger than the image at its coarsest scale, {smallest} pixels: "
                "give a smaller --patch, fewer --scales or a larger --side"
            )
        self.register_buffer("image", image)
        self.register_buffer("level", torch.tensor(-1))
        self.canvas = Canvas(textures, image.shape[0], [self.with_margin(size) for size in self.sizes(self.size)])

    def extra_repr(self) -> str:
        return f"size={self.size}, steps={self.steps}, patch={self.patch}, filters={self.filters}"

    def sizes(self, size: Sequence[int]) -> list[list[int]]:
        """Height and width of a texture at each scale, coarsest first."""
        return [[round(side / self.factor**k) for side in size] for k in reversed(range(len(self.steps)))]

    def with_margin(self, size: Sequence[int]) -> list[int]:
        """The size in synthesis of an image."""
        return [side + 2 * self.margin for side in size]

    def without_margin(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """The image that is left of one in synthesis."""
        return x[..., self.margin : x.shape[2] - self.margin, self.margin : x.shape[3] - self.margin]

    def exemplar(self, level: int) -> Float[Tensor, "1 c h w"]:
        """The image at a scale."""
        return resized(self.image[None], self.sizes(self.image.shape[1:])[level])

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
            x = resized(coarser, [side - 2 * self.margin for side in like.shape[2:]])
            return F.pad(x, [self.margin] * 4, mode="replicate")
        image = self.exemplar(level)
        return image.mean((2, 3), keepdim=True) + image.std() * noise_like(like, rng)

    def scale_at(self, share: float) -> tuple[int, float]:
        """The scale at a share of all updates, and the share of that scale's updates that is done."""
        done = share * sum(self.steps)
        level = next((k for k, n in enumerate(accumulate(self.steps)) if done < n), len(self.steps) - 1)
        return level, (done - sum(self.steps[:level])) / self.steps[level]

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        level, within = self.scale_at(self.share)
        x = self.canvas.scales[level]
        with torch.no_grad():
            if level != int(self.level):
                coarser = self.without_margin(self.canvas.scales[level - 1]) if level else None
                x.copy_(self.begin(level, coarser, x, rng=rng))
                self.level.fill_(level)
            if level == 0:
                x.add_(self.noise * max(0.0, 1 - within / 0.8) * noise_like(x, rng))
        return {"canvas": self.distance(x, self.exemplar(level), rng=rng).sum()}  # (1), of each texture

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n textures by (3), each from noise of its own."""
        x = None
        if n < 1:
            return empty_rows(n, len(self.image), *self.size, like=self.image)
        for level, size in enumerate(self.sizes(self.size)):
            like = self.image.new_empty(n, len(self.image), *self.with_margin(size))
            x = self.minimize(self.begin(level, x, like, rng=rng), level, self.steps[level], rng=rng)
        assert x is not None
        return x

    def set_size(self, height: int, width: int = 0) -> None:
        self.size = (height, width or height)

    def minimize(
        self, x: Tensor, level: int, steps: int, *, rate: float = 1.0, noise: float | None = None, rng: Rng
    ) -> Tensor:
        """(3) at one scale, the margin cut off; ``rate`` is a factor on the step size, ``noise`` replaces the coarsest
        scale's."""
        image, step_size = self.exemplar(level), rate * self.step_size
        noise = noise if noise is not None else self.noise if level == 0 else 0.0
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_()
            adam = torch.optim.Adam([x], step_size)
            for k in range(steps):
                for group in adam.param_groups:
                    group["lr"] = step_size * min(1.0, 2 * (1 - k / steps))
                if noise:
                    with torch.no_grad():
                        x.add_(noise * max(0.0, 1 - k / steps / 0.8) * noise_like(x, rng))
                x.grad = None
                self.distance(x, image, rng=rng).sum().backward()
                adam.step()
        return self.without_margin(x.detach())

    def explain_metrics(self) -> dict[str, str]:
        return {"canvas": "is the distance of patch distributions to the image's, summed over textures, at one scale"}
