"""How alike the patches of images are: the sliced Wasserstein distance over octaves."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.networks.canvas import resized
from absynth.networks.patches import patch_distance
from absynth.seeding import noise_like, stream
from absynth.types import Rng

OCTAVES = (1, 2, 4)
"""Factors that images are made smaller by."""
PATCH = 7
"""Side of a patch in pixels."""


def patches_apart(x: Float[Tensor, "n c h w"], image: Float[Tensor, "c H W"], seed: int, draws: int = 12) -> float:
    """Sliced Wasserstein distance of 7×7 patches, mean over octaves and images.

    Args:
        x: Images.
        image: The image whose patches they should have.
        seed: Seed of the projections.
        draws: Sets of 32 projections to average over.
    """
    total = 0.0
    for k in OCTAVES:
        ours, theirs = (resized(v, [round(side / k) for side in v.shape[2:]]) for v in (x, image[None]))
        found = [patch_distance(ours, theirs, patch=PATCH, filters=32, rng=stream(seed, 0, i, k)) for i in range(draws)]
        total += float(torch.stack(found).mean()) / len(OCTAVES)
    return total


def random_phases(image: Float[Tensor, "c h w"], rng: Rng) -> Float[Tensor, "c h w"]:
    """A texture with the power spectrum of each channel: its amplitudes, with the phases of white noise."""
    noise = torch.fft.rfft2(noise_like(image, rng))
    return torch.fft.irfft2(torch.fft.rfft2(image).abs() * noise / noise.abs(), s=image.shape[1:])
