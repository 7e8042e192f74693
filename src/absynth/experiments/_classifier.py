"""What experiments share that read generated images with a classifier of the training split."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float, Int64
from safetensors.torch import load_file
from torch import Tensor

from absynth.metrics.features import Features


def read_as(x: Float[Tensor, "n c h w"], features: Features, cache: Path) -> Int64[Tensor, "n"]:
    """The class that the classifier behind a feature space reads in each image."""
    weights = load_file(cache / f"{features.name}.safetensors")
    return (features(x) @ weights["head.weight"].T + weights["head.bias"]).argmax(1)


def share_read(x: Tensor, labels: Tensor, features: Features, cache: Path) -> float:
    """Share of images that the classifier reads as their label."""
    return float((read_as(x, features, cache) == labels).float().mean())
