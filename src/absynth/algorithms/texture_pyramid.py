"""A texture from one image: patches of the synthesis have the distributions of the image's, scale after scale.

FRAME's statistics with unlimited filters (Zhu, Wu, Mumford, IJCV 1998): the histograms of responses r_w = ⟨w, patch⟩ to
random filters w, drawn anew for each update, on a pyramid of scales.

    D(x) = E_w[W_1(r_w(x), r_w(image))],   w uniform on the unit sphere of k × k patches               (1)
    W_1(r, r') = mean_i |r_(i) − r'_(i)|,  sorted responses                                           (2)
    x ← x − Adam(∇D(x)), from noise at the coarsest scale, from the enlarged coarser texture above     (3)

Two images with D = 0 are of the same Julesz ensemble: the patches have one distribution, since its projections fix it
(Cramér and Wold). (3) minimizes D. It is not maximum likelihood and samples no stated law; a synthesized texture is a
torus of any size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from absynth.algorithms.algorithm import Algorithm
from absynth.errors import InputError
from absynth.seeding import noise_like
from absynth.types import Batch, Rng


class Canvas(nn.Module):
    """The textures in synthesis, one parameter ``[n, c, side, side]`` for each scale."""

    def __init__(self, n: int, channels: int, sides: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ParameterList([torch.zeros(n, channels, side, side) for side in sides])

    def extra_repr(self) -> str:
        return f"sides={[p.shape[-1] for p in self.scales]}"


class TexturePyramid(Algorithm):
    """Player: ``canvas``, the textures themselves.

    Args:
        image: The exemplar ``[c, h, w]``.
        side: Side of a synthesized texture.
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

    def __init__(
        self,
        image: Float[Tensor, "c h w"],
        *,
        side: int,
        steps: Sequence[int],
        factor: float = 2**0.5,
        patch: int = 9,
        filters: int = 32,
        textures: int = 2,
        step_size: float = 0.02,
        noise: float = 0.02,
    ) -> None:
        super().__init__()
        self.side, self.steps, self.factor, self.patch = side, tuple(steps), factor, patch
        self.filters, self.step_size, self.noise, self.share = filters, step_size, noise, 0.0
        smallest = round(min(side, *image.shape[1:]) / factor ** (len(steps) - 1))
        if patch > smallest:
            raise InputError(
                f"filters of {patch} pixels are larger than the image at its coarsest scale, {smallest} pixels: "
                "give a smaller --patch, fewer --scales or a larger --side"
            )
        self.register_buffer("image", image)
        self.register_buffer("level", torch.tensor(-1))
        self.canvas = Canvas(textures, image.shape[0], self.sides(side))

    def extra_repr(self) -> str:
        return f"side={self.side}, steps={self.steps}, patch={self.patch}, filters={self.filters}"

    def sides(self, side: int) -> list[int]:
        """Sides of a texture at each scale, coarsest first."""
        return [round(side / self.factor**k) for k in reversed(range(len(self.steps)))]

    def exemplar(self, level: int) -> Float[Tensor, "1 c h w"]:
        """The image at a scale."""
        shrink = self.factor ** (level + 1 - len(self.steps))
        size = [round(side * shrink) for side in self.image.shape[1:]]
        return resized(self.image[None], size)

    def distance(self, x: Float[Tensor, "b c h w"], image: Float[Tensor, "1 c h w"], *, rng: Rng) -> Float[Tensor, "b"]:
        """D(x), (1), by a draw of filters."""
        k = self.patch
        w = noise_like(x.new_empty(self.filters, x.shape[1], k, k), rng)
        w = w / w.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        ours = F.conv2d(F.pad(x, [k // 2] * 4, mode="circular"), w).flatten(2).sort(2).values
        theirs = F.conv2d(image, w).flatten(2).sort(2).values
        theirs = F.interpolate(theirs, size=ours.shape[2], mode="linear", align_corners=False)  # equal quantiles
        return (ours - theirs).abs().mean((1, 2))  # (2)

    def schedule(self, share: float) -> tuple[int, float]:
        """The scale at a share of all updates, and the share of that scale's updates that is done."""
        done = share * sum(self.steps)
        for level, n in enumerate(self.steps):
            if done < n:
                return level, done / n
            done -= n
        return len(self.steps) - 1, 1.0

    def set_progress(self, share: float) -> None:
        self.share = share

    def begin(self, level: int, coarser: Tensor | None, like: Tensor, *, rng: Rng) -> Tensor:
        """First textures of a scale: noise of the image's mean and contrast, or the coarser ones enlarged."""
        if coarser is not None:
            return resized(coarser, like.shape[2:])
        image = self.exemplar(level)
        return image.mean((2, 3), keepdim=True) + image.std() * noise_like(like, rng)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        level, within = self.schedule(self.share)
        x = self.canvas.scales[level]
        with torch.no_grad():
            if level != int(self.level):
                coarser = self.canvas.scales[level - 1] if level else None
                x.copy_(self.begin(level, coarser, x, rng=rng))
                self.level.fill_(level)
            if level == 0:
                x.add_(self.noise * max(0.0, 1 - within / 0.8) * noise_like(x, rng))
        return {"canvas": self.distance(x, self.exemplar(level), rng=rng).sum()}  # (1), of each texture

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n textures by (3), each from noise of its own."""
        x = None
        for level, (side, steps) in enumerate(zip(self.sides(self.side), self.steps, strict=True)):
            x = self.minimize(
                self.begin(level, x, self.image.new_empty(n, len(self.image), side, side), rng=rng),
                level,
                steps,
                rng=rng,
            )
        return x

    def minimize(self, x: Tensor, level: int, steps: int, *, rng: Rng) -> Tensor:
        """(3) at one scale."""
        image = self.exemplar(level)
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_()
            adam = torch.optim.Adam([x], self.step_size)
            for k in range(steps):
                for group in adam.param_groups:
                    group["lr"] = self.step_size * pace(k / steps)
                if level == 0:
                    with torch.no_grad():
                        x.add_(self.noise * max(0.0, 1 - k / steps / 0.8) * noise_like(x, rng))
                x.grad = None
                self.distance(x, image, rng=rng).sum().backward()
                adam.step()
        return x.detach()


def pace(share: float) -> float:
    """Factor on the step size: 1, then linearly to 0 over the second half of a scale's updates."""
    return min(1.0, 2 * (1 - share))


def resized(x: Float[Tensor, "b c h w"], size: Sequence[int]) -> Tensor:
    """Images in another size, on a torus where they grow."""
    return F.interpolate(x, size=tuple(size), mode="bicubic", antialias=True, align_corners=False)
