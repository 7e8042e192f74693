"""How different the patches of images are from those of an exemplar, seen through random filters."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from absynth.seeding import noise_like
from absynth.types import Rng


def random_filters(n: int, filters: int, channels: int, side: int, like: Tensor, rng: Rng) -> Tensor:
    """Filters uniform on the unit sphere of patches, ``[n * filters, channels, side, side]``, a draw for each of n."""
    w = noise_like(like.new_empty(n, filters * channels * side**2), rng).view(-1, channels, side, side)
    return w / w.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def patch_distance(
    x: Float[Tensor, "b c h w"],
    image: Float[Tensor, "1 c h2 w2"],
    *,
    patch: int,
    filters: int,
    torus: bool = False,
    rng: Rng,
) -> Float[Tensor, "b"]:
    """Sliced Wasserstein-1 distance of the patches of each image to those of an exemplar.

    mean_w W_1(⟨w, patches of x⟩, ⟨w, patches of image⟩) over random unit filters w, drawn anew for each image.

    Args:
        x: Images.
        image: The exemplar, of any size.
        patch: Side of a patch in pixels; odd with ``torus``.
        filters: Number of filters for each image.
        torus: Whether the images continue on their opposite sides.
        rng: Draws the filters.
    """
    n, k = len(x), patch
    w = random_filters(n, filters, x.shape[1], k, x, rng)
    padded = F.pad(x, [k // 2] * 4, mode="circular") if torus else x
    ours = F.conv2d(padded.flatten(0, 1)[None], w, groups=n)[0].flatten(1).sort(1).values
    theirs = F.conv2d(image, w)[0].flatten(1).sort(1).values
    theirs = F.interpolate(theirs[None], size=ours.shape[1], mode="linear", align_corners=False)[0]  # quantiles
    return (ours - theirs).abs().view(n, -1).mean(1)
