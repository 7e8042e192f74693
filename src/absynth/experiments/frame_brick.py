"""Textures of one image by patch distributions on a pyramid: brick and gravel, and what is closed by joints.

The figures: distance of patch distributions (what is minimized, so it flatters); share of the area between joints that
is enclosed, by flood fill; distance to the most similar piece of the image, so that copies show. The texture to beat
has the image's power spectrum and random phases.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from absynth import pictures
from absynth.algorithms.texture_pyramid import TexturePyramid
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.patches import random_phases
from absynth.seeding import stream

BRIGHT = 1.0
"""Joints are brighter than the mean by so many standard deviations."""


def enclosed(x: Float[Tensor, "1 h w"]) -> float:
    """Share of the pixels between joints that lie in regions of less than a tenth of the image, by flood fill."""
    image = x[0]
    free = (image < image.mean() + BRIGHT * image.std()).numpy()
    labels, count = ndimage.label(free)
    sizes = ndimage.sum(free, labels, range(1, count + 1))
    return float(sum(s for s in sizes if s < 0.1 * free.size) / max(free.sum(), 1))


def copied(x: Float[Tensor, "1 h w"], image: Float[Tensor, "1 H W"], tile: int = 32) -> float:
    """Distance of tiles to their nearest place in the image over that to a random one: 0 a copy, 1 unrelated."""
    places = F.unfold(image[None], tile, stride=2)[0].T
    tiles = F.unfold(x[None], tile, stride=tile)[0].T
    distance = torch.cdist(tiles, places, p=1)
    return float((distance.amin(1) / distance.mean(1)).mean())


@experiment(
    data="scikit-image's brick and gravel, 512×512 resized to 128×128",
    protocol="four scales, 770 updates of 32 filters for each texture of 96×96; two textures per seed; patch distance "
    "by 16 draws of 32 filters of 9×9 at full resolution",
    seeds=(0, 1, 2),
    minutes=2,
    bars={"brick, enclosed share off the image's": at_most(0.2, "within .2 of the image")},
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for name in ("brick", "gravel"):
        opened = run.fit("frame", name, label=name)
        model = opened.model
        assert isinstance(model, TexturePyramid)
        image = model.image
        x = model.sample(2, rng=stream(seed, 0, 0, 1))

        def distance(y: Tensor, image: Tensor = image, model: TexturePyramid = model) -> float:
            draws = [model.distance(y, image[None], rng=stream(seed, 0, k, 2)).mean() for k in range(16)]
            return float(torch.stack(draws).mean())

        side = x.shape[-1]
        phases = torch.stack([random_phases(image, stream(seed, 0, 0, 3))])
        whole = enclosed(image[:, :side, :side])
        shares = [enclosed(each) for each in x]
        values |= {
            f"{name}, patch distance": distance(x),
            f"{name}, enclosed share off the image's": abs(sum(shares) / len(shares) - whole),
            f"{name}, distance to the nearest place": sum(copied(each, image) for each in x) / len(x),
        }
        baselines[f"{name}, patch distance/random phases"] = distance(phases)
        baselines[f"{name}, enclosed share off the image's/random phases"] = abs(
            enclosed(phases[0, :, :side, :side]) - whole
        )
        if seed == 0:
            shown = {"image": image[None, :, :side, :side], "synthesis": x[:1], "another": x[1:]}
            shown |= {"random phases": phases[..., :side, :side]}
            pictures.rows_with_labels(shown, run.images / f"frame_{name}.png", scale=3)
    return Figures(values, baselines)
