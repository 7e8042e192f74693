"""MNIST at 16×16, for experiments that need many short runs."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch

from absynth.data.dataset import Split
from absynth.data.image_set import ImageSet
from absynth.data.images import Images, find_root, mnist

HEALTHY: dict[str, Any] = {
    "preset": "mnist", "steps": 350, "energy_width": 16, "stem": 1, "energy_lr": 3e-4, "final_share": 0.5,
    "checkpoint_every": 25, "keep": 6,
}  # fmt: skip
"""Settings at which learning is healthy."""
WILD: dict[str, Any] = HEALTHY | {"energy_lr": 1e-3, "energy_activation": "leaky_relu", "data_noise": 0.03}
"""Settings at which f diverges within some 200 updates."""


@lru_cache(maxsize=2)
def small(part: Split) -> Images:
    """A split of MNIST padded to 32×32 and averaged to 16×16."""
    images = mnist(find_root("", "mnist"), "test" if part == "test" else "train")
    padded = torch.nn.functional.pad(images.x, (2, 2, 2, 2))
    means = padded.view(-1, 1, 16, 2, 16, 2).float().mean((3, 5))
    return replace(images, x=means.round().to(torch.uint8), name="mnist16")


def mnist16() -> ImageSet:
    """MNIST at 16×16 as a data set."""
    return ImageSet(small, "")
