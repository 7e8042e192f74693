"""One image: random samples at its size and at twice its width, and super-resolution, on four images.

The patch distance is the sliced Wasserstein distance of 7×7 patches, mean over full, half and quarter resolution. It is
close to what is minimized, so it flatters; the nulls have the power spectrum of the image with random phases, and the
mean and covariance of its patches. The distance to the nearest shift of the image shows copies. In super-resolution the
image is known at half its size.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from absynth import pictures
from absynth.algorithms.patchwise import Patchwise
from absynth.data import sets
from absynth.data.picture_set import PictureSet
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.patches import OCTAVES, PATCH, patches_apart, random_phases
from absynth.networks.canvas import resized
from absynth.networks.patches import random_filters
from absynth.seeding import stream

IMAGES = ("brick", "beehive", "china", "coffee")
SAMPLES = {"batch": 1}


def gaussian_patches(image: Float[Tensor, "c H W"], seed: int, filters: int = 400) -> float:
    """The same distance for Gaussian patches of the image's mean and covariance, without sampling error."""
    total = 0.0
    for k in OCTAVES:
        x = resized(image[None], [round(side / k) for side in image.shape[1:]])
        patches = F.unfold(x, PATCH)[0].T
        w = random_filters(1, filters, len(image), PATCH, x, stream(seed, 0, 0, k)).flatten(1)
        responses = (patches @ w.T).T.sort(1).values
        normal = torch.special.ndtri((torch.arange(responses.shape[1]) + 0.5) / responses.shape[1])
        spread = ((w @ torch.cov(patches.T)) * w).sum(1).clamp(min=0).sqrt()
        law = (w @ patches.mean(0))[:, None] + spread[:, None] * normal
        total += float((responses - law).abs().mean()) / len(OCTAVES)
    return total


def nearest_shift(x: Float[Tensor, "c h w"], image: Float[Tensor, "c H W"]) -> float:
    """Least mean |x − shifted image| over shifts that overlap by half, in standard deviations of the image."""
    (height, width), (h, w) = image.shape[1:], x.shape[1:]
    best = torch.inf
    for dy in range(-(h // 2), height // 2 + 1):
        top, bottom = max(0, dy), min(height, dy + h)
        for dx in range(-(w // 2) if w <= width else -(w - width // 2), width // 2 + 1):
            left, right = max(0, dx), min(width, dx + w)
            if bottom - top < height // 2 or right - left < width // 2:
                continue
            ours = x[:, top - dy : bottom - dy : 2, left - dx : right - dx : 2]  # every other pixel is enough
            best = min(best, float((image[:, top:bottom:2, left:right:2] - ours).abs().mean()))
    return best / float(image.std())


def psnr(x: Tensor, truth: Tensor) -> float:
    """In dB, peak 2."""
    return float(10 * torch.log10(4 / (x - truth).square().mean()))


def gradients_apart(x: Tensor, truth: Tensor) -> float:
    """Wasserstein distance of the magnitudes of neighbours' differences."""
    size = [sorted_differences(v) for v in (x, truth)]
    return float((size[0] - size[1]).abs().mean())


def sorted_differences(x: Tensor) -> Tensor:
    """Magnitudes of the differences of neighbours in both directions, in order."""
    return torch.cat([x.diff(dim=-1).flatten(), x.diff(dim=-2).flatten()]).abs().sort().values


@experiment(
    data="brick, beehive, china and coffee, the longer side resized to 112 pixels (super-resolution: 112 to 224)",
    protocol="720 updates on four scales (brick: five) for a sample at the image's size, and one sample of twice its "
    "width; patch distance of 7×7 patches over three octaves, as a share of the lower null; distance to the nearest "
    "shift in standard deviations; super-resolution by 2: PSNR minus bicubic's, and the distance of the gradient "
    "magnitudes to the true image's as a share of bicubic's",
    seeds=(0, 1),
    minutes=3,
    bars={
        **{f"{name}, patch distance": at_most(0.5, "half of the lower null") for name in IMAGES},
        **{f"{name}, patch distance at twice the width": at_most(0.5, "half of the lower null") for name in IMAGES},
        **{f"{name}, nearest shift": at_least(0.3, "no copy") for name in IMAGES},
        **{f"{name}, nearest shift at twice the width": at_least(0.3, "no copy") for name in IMAGES},
        **{f"{name}, PSNR above bicubic": at_least(-0.3, "within .3 dB") for name in IMAGES},
        **{f"{name}, gradients": at_most(1.0, "nearer than bicubic") for name in IMAGES},
    },
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for name in IMAGES[:1] if run.tiny else IMAGES:
        model = run.fit("patchwise", name, label=name, **SAMPLES).model
        assert isinstance(model, Patchwise)
        image = model.image
        height, width = image.shape[1:]
        with torch.no_grad():
            x = model.scales.without_margin(model.canvas.scales[-1]).detach()
            model.set_size(height, 2 * width)
            wide = model.sample(1, rng=stream(seed, 0, 0, 1))
            phases = random_phases(image, stream(seed, 0, 0, 3))
            nulls = patches_apart(phases[None], image, seed), gaussian_patches(image, seed)
            for what, made in (("", x), (" at twice the width", wide)):
                values[f"{name}, patch distance{what}"] = patches_apart(made, image, seed) / min(nulls)
                values[f"{name}, nearest shift{what}"] = sum(nearest_shift(each, image) for each in made) / len(made)
            baselines[f"{name}, patch distance/random phases"] = nulls[0] / min(nulls)
            baselines[f"{name}, patch distance/Gaussian patches"] = nulls[1] / min(nulls)
            baselines[f"{name}, nearest shift/random phases"] = nearest_shift(phases, image)
            truth = resized(whole(name, 2 * max(height, width))[None], (2 * height, 2 * width))[0]
            model.image.copy_(resized(truth[None], (height, width))[0])
            fine = model.enlarge(2, rng=stream(seed, 0, 0, 4))[0]
            smooth = resized(model.image[None], truth.shape[1:])[0]
            values[f"{name}, PSNR above bicubic"] = psnr(fine, truth) - psnr(smooth, truth)
            values[f"{name}, gradients"] = gradients_apart(fine, truth) / gradients_apart(smooth, truth)
            plain = model.correct(smooth[None], model.image[None])[0]  # without any patch
            baselines[f"{name}, PSNR above bicubic/bicubic back-projected"] = psnr(plain, truth) - psnr(smooth, truth)
            baselines[f"{name}, gradients/bicubic"] = 1.0
            baselines[f"{name}, gradients/bicubic back-projected"] = gradients_apart(plain, truth) / gradients_apart(
                smooth, truth
            )
        if seed == 0:
            shown = {"image": resized(truth[None], image.shape[1:]), "sample": x}
            pictures.rows_with_labels(shown, run.images / f"{name}.png", scale=2)
            pictures.grid(wide, run.images / f"{name}_wide.png", scale=2)
            shown = {"bicubic": smooth[None], "enlarged": fine[None], "true": truth[None]}
            pictures.rows_with_labels(shown, run.images / f"{name}_enlarged.png", scale=1)
    return Figures(values, baselines)


def whole(name: str, side: int) -> Float[Tensor, "c h w"]:
    """A published image at another size."""
    found = sets.open(name, side=side, whole=True)
    assert isinstance(found, PictureSet)
    return found.image
