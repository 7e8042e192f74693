"""A pyramid of patch energies on one image: random samples of any size, edits and super-resolution.

The pyramid is that of Zheng, Xie, Li, "Patchwise Generative ConvNet", CVPR 2021: the energy of scale s is a sum over
the patches of an image, the coarsest chain begins at noise, each finer one at the enlarged image of the coarser one.
The published energies are ConvNets learned by Langevin chains, in thousands of updates of each scale. Here an energy is
a sum of one-dimensional potentials of projections, which are known in closed form for the current image:

    E_s(x) = mean_w mean_i φ_w(⟨w, patch_i(x)⟩)                                                    (1)
    φ_w    = argmax over 1-Lipschitz φ of mean_i φ(⟨w, patch_i(x)⟩) − mean_j φ(⟨w, patch_j(image)⟩)     (2)
    x      ← x − Adam(∇E_s(x)),   filters w drawn anew in every update                               (3)

φ_w is the Kantorovich potential of W_1, so (3) descends the sliced Wasserstein distance of patches (Elnekave and Weiss,
"Generating natural images with direct patch distributions matching", ECCV 2022), with the histograms of FRAME as its
statistics. It is a minimizer: it samples the images whose patches are those of the source, and no stated density.

Unlike a texture of :class:`TexturePyramid`, an image here has edges, and colours.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.texture_pyramid import TexturePyramid
from absynth.errors import InputError
from absynth.networks.canvas import resized
from absynth.types import Rng


class Patchwise(TexturePyramid):
    """Player: ``canvas``, random samples at the size of the source.

    The arguments are those of :class:`TexturePyramid`.
    """

    torus = False
    margin = True  # without it the corners would be in one patch each, and stay noise

    def distance(
        self, x: Float[Tensor, "b c h w"], image: Float[Tensor, "1 c h2 w2"], *, rng: Rng
    ) -> Float[Tensor, "b"]:
        """(1) minus that of the source, summed over the octaves at which the source has room for patches."""
        total = super().distance(x, image, rng=rng)
        for k in (2, 4):  # else fine scales drift from the coarse ones that they began at
            if min(image.shape[2:]) >= 2 * k * self.patch:
                ours, theirs = (resized(v, [round(side / k) for side in v.shape[2:]]) for v in (x, image))
                total = total + super().distance(ours, theirs, rng=rng)
        return total

    def rewrite(self, x: Tensor, level: int, steps: int, *, rate: float = 1.0, rng: Rng) -> Tensor:
        """(3) at one scale, from images."""
        like = x.new_empty(len(x), len(self.image), *self.scales.with_margin(x.shape[2:]))
        return self.minimize(self.begin(level, x, like, rng=rng), level, steps, rate=rate, noise=0.0, rng=rng)

    def redraw(self, x: Float[Tensor, "n c h w"], scale: int = -1, *, rng: Rng) -> Float[Tensor, "n c h w"]:
        """Begin the pyramid at images of any size: harmonize, edit, paint to image.

        Args:
            x: Composed or painted images.
            scale: The scale to begin at, 0 the coarsest; −1 is the middle one. What is coarser than it is kept.
            rng: Source of randomness.

        Raises:
            InputError: There is no such scale, or the images have other channels than the source.
        """
        if not -1 <= scale < len(self.scales):
            raise InputError(f"expected --scale from 0 to {len(self.scales) - 1}, got {scale}")
        scale = len(self.scales) // 2 if scale < 0 else scale
        if x.shape[1] != len(self.image):
            raise InputError(f"expected an image of {len(self.image)} channels, as the source has, got {x.shape[1]}")
        for level, size in list(enumerate(self.scales.sizes(x.shape[2:])))[scale:]:
            if min(size) < self.patch // 2 + 1:
                raise InputError(f"expected an image of more pixels at scale {level}, got {size}: give a larger image")
            x = self.rewrite(resized(x, size), level, self.scales.steps[level], rng=rng)
        return x

    def enlarge(
        self, factor: int | float, n: int = 1, *, updates: int = 20, rate: float = 0.1, rng: Rng
    ) -> Float[Tensor, "n c h2 w2"]:
        """Super-resolution of the source: its finest patch energy at sizes beyond its own.

        The image grows by the ratio of two scales at a time. After each growth it is refined, then corrected so that
        its reduction to the source's size is the source.

        Args:
            factor: Ratio of the sides, above 1.
            n: Number of draws.
            updates: Updates of each growth.
            rate: Factor on the step size: large steps add detail that the source does not fix.
            rng: Source of randomness.
        """
        if factor <= 1:
            raise InputError(f"expected --enlarge above 1, got {factor:g}")
        source = self.image[None].expand(n, *self.image.shape)
        x, reached = source, 1.0
        while reached < factor:
            reached = min(reached * self.scales.factor, factor)
            x = resized(x, self._enlarged(reached))
            x = self.rewrite(x, len(self.scales) - 1, updates, rate=rate, rng=rng)
            x = self.correct(x, source)
        return x

    def correct(self, x: Float[Tensor, "n c h w"], source: Float[Tensor, "n c h2 w2"]) -> Float[Tensor, "n c h w"]:
        """Large images whose reduction is the source, nearly: three rounds of back-projection."""
        for _ in range(3):
            x = x + resized(source - resized(x, source.shape[2:]), x.shape[2:])
        return x

    def _enlarged(self, factor: int | float) -> Sequence[int]:
        return [round(side * factor) for side in self.image.shape[1:]]
