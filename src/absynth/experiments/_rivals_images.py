"""Images at equal seconds: energy-based models beside a diffusion model and a generative adversarial network.

Each is trained by the same loop on one thread of one core, and looked at after 1 and after 5 minutes of processor time
of one training, with what the loop itself costs (reading the data set again, checkpoints, the guard). The generator is
that of ``conditional`` in all that have one, and the discriminator has the layers of f.

Settings of all were chosen by pilots of a minute, on a seed without a figure, by images of the training split that were
left out of MNIST. Batches of 32 were better than of 16 for ``conditional``; batches of 16 were better than of 32 and
64 for the denoiser and the GAN.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.data.dataset import Dataset
from absynth.experiments.harness import Figures, Run, at_most
from absynth.metrics.features import Features
from absynth.metrics.frechet import frechet
from absynth.recipes import Recipe
from absynth.recipes.cooperative import CONVOLUTIONS
from absynth.seeding import stream
from absynth.tasks.evaluate import gaussian_samples
from absynth.tasks.opened import Opened

MINUTES, SAMPLES, CHUNK, NEAR = (1, 5), 2000, 100, 500
_DENOISER, _GAN = "absynth.experiments._denoiser:DenoiserRecipe", "absynth.experiments._adversarial:AdversarialRecipe"
_ALL: dict[str, Any] = {"batch": 32, "ema": 0.99, "threads": 1, "limit": 0}
_UNET: dict[str, Any] = {"unet_width": 24, "denoiser_lr": 2e-3, "batch": 16}
METHODS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "labelled": {
        "EBM": ("conditional", {"ema": 0.995}),
        "denoiser": (_DENOISER, _UNET | {"labelled": True}),
        "GAN": (_GAN, {"batch": 16, "labelled": True}),
    },
    "unlabelled": {"EBM": ("cooperative", CONVOLUTIONS), "denoiser": (_DENOISER, _UNET), "GAN": (_GAN, {"batch": 16})},
}
"""By kind, name -> method and its field values."""
DISTANCE, OVER = "Fréchet distance", "EBM over the better rival"
PROTOCOL = (
    f"{' and '.join(map(str, MINUTES))} min of processor time on one thread, one training; squared Fréchet distance of "
    f"{SAMPLES} samples to the test split in a classifier's features; distance to the nearest training image and share "
    f"of distinct nearest training images of {NEAR} samples, over those of as many test images; settings by pilots of "
    f"another seed on images left out of training"
)
WHY = "no worse than what a visitor would reach for"
BARS = {f"{OVER}, {kind}, {minutes} min": at_most(1, WHY) for kind in METHODS for minutes in MINUTES}


@dataclass
class Timed:
    """A training that is continued until it has taken so much processor time.

    Attributes:
        run: Where to train.
        recipe: What to train.
        label: Name of the run within the experiment.
        seconds: Processor time so far.
        updates: Updates so far.
    """

    run: Run
    recipe: Recipe
    label: str
    seconds: float = 0.0
    updates: int = 0

    def until(self, seconds: int | float) -> Opened:
        """Train on until about ``seconds`` of processor time; in a tiny run, for the recipe's updates."""
        while True:  # in parts, each for most of the time that is left at the rate so far
            begun, left = time.process_time(), max(0.0, seconds - self.seconds)
            each = self.seconds / self.updates if self.updates else 0.0
            more = 1 + int(0.9 * left / each) if each else 20
            steps = self.recipe.steps if self.run.tiny else self.updates + more
            opened = self.run.train(replace(self.recipe, steps=steps, checkpoint_every=1000), self.label)
            self.seconds, self.updates = self.seconds + time.process_time() - begun, steps
            if self.run.tiny or self.seconds >= 0.97 * seconds:
                return opened


def draw(opened: Opened, n: int, seed: int) -> tuple[Float[Tensor, "n c h w"], float]:
    """n samples, labels in turn where the model takes one, clamped to [−1, 1], and the seconds that they took."""
    c, begun = opened.conditions(n), time.process_time()
    parts = [range(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]
    x = [opened.model.sample(len(p), None if c is None else c[p.start : p.stop], rng=stream(seed, 0, p.start, 5))
         for p in parts]  # fmt: skip
    return torch.cat(x).detach().clamp(-1, 1), time.process_time() - begun


def nearest(x: Float[Tensor, "n c h w"], train: Dataset) -> tuple[float, float]:
    """Mean distance of images to their nearest training image, and the share of distinct ones among these."""
    best, index = torch.full((len(x),), torch.inf), torch.zeros(len(x), dtype=torch.long)
    for rows in torch.arange(len(train)).split(5000):
        found = torch.cdist(x.flatten(1), train.batch(rows).x.flatten(1)).min(1)
        nearer = found.values < best
        best, index = torch.where(nearer, found.values, best), torch.where(nearer, rows[found.indices], index)
    return float(best.mean()), len(index.unique()) / len(x)


def ratios(values: Mapping[str, float]) -> dict[str, float]:
    """The energy-based model's distance over the smaller of its rivals', by kind and minutes."""
    found = {}
    for kind, methods in METHODS.items():
        for minutes in MINUTES:
            own, *rivals = (values[f"{DISTANCE}, {kind}, {minutes} min, {name}"] for name in methods)
            found[f"{OVER}, {kind}, {minutes} min"] = own / min(rivals)
    return found


def compare(run: Run, data: str) -> Figures:
    """Every method on one data set."""
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    sheet: dict[str, Tensor] = {}
    features, real, apart = None, None, (1.0, 1.0)
    n, few = run.few(SAMPLES, 80), run.few(NEAR, 20)
    for kind, methods in METHODS.items():
        for name, (method, own) in methods.items():
            label = f"{name}, {kind}"
            timed = Timed(run, run.recipe(method, data, label=label, **_ALL | own), label)
            for minutes in MINUTES:
                opened = timed.until(60 * minutes)
                train, test = opened.examples("train"), opened.examples("test")
                if features is None or real is None:
                    features, images = run.features_of(opened), test.head(run.few(10_000, 200))
                    real, apart = features(images), nearest(images[:few], train)
                    sheet["data"] = _in_turn(test, 20)
                    baselines = _references(run, features, real, train, n)
                x, seconds = draw(opened, n, run.seed)
                at = f"{kind}, {minutes} min, {name}"
                values |= {
                    f"{DISTANCE}, {at}": frechet(features(x), real),
                    f"processor seconds of training, {at}": timed.seconds,
                    f"updates, {at}": timed.updates,
                }
            distance, distinct = nearest(x[torch.randperm(n, generator=stream(run.seed, 0, 0, 6))[:few]], train)
            values |= {
                f"parameters, {label}": sum(p.numel() for p in opened.model.parameters()),
                f"seconds to draw {SAMPLES}, {label}": seconds,
                f"distance to the nearest training image over that of test images, {label}": distance / apart[0],
                f"distinct nearest training images over those of test images, {label}": distinct / apart[1],
            }
            sheet[label] = x[:20]
    pictures.rows_with_labels(sheet, run.images / f"rivals_{data}_{run.seed}.png")
    return Figures(ratios(values) | values, baselines)


def _in_turn(data: Dataset, n: int) -> Float[Tensor, "n c h w"]:
    """n images whose labels come in turn, as those of labelled samples do."""
    labels, classes = data.labels, len(data.class_names)
    assert labels is not None
    rows = [(labels == k % classes).nonzero()[k // classes, 0] for k in range(n)]
    return data.batch(torch.stack(rows)).x


def _references(run: Run, features: Features, real: Tensor, train: Dataset, n: int) -> dict[str, float]:
    """Distances of training images, and of the Gaussian of the pixels, for each first figure of a kind."""
    some = torch.randperm(len(train), generator=stream(run.seed, 0, 0, 4))[:n]
    floor = frechet(features(train.batch(some).x), real)
    gaussian = frechet(features(gaussian_samples(train, n, seed=run.seed).clamp(-1, 1)), real)
    first = [f"{DISTANCE}, {kind}, {MINUTES[-1]} min, EBM" for kind in METHODS]
    return {f"{figure}/training images": floor for figure in first} | {
        f"{figure}/Gaussian of the pixels": gaussian for figure in first
    }
