"""MNIST: samples of energy matching after one sweep, and after five chains at the last temperature from its end.

Baselines: a Gaussian of the pixels and training images.
"""

from __future__ import annotations

from typing import Any

import torch

from absynth import pictures
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.experiments.multiscale_mnist import SAMPLES, drawn
from absynth.metrics.frechet import frechet
from absynth.seeding import stream
from absynth.tasks.evaluate import gaussian_samples

FD, OVER = "Fréchet distance", "Fréchet distance over that of a Gaussian of the pixels"
LONG = "Fréchet distance after 5 more chains at the end's temperature"


@experiment(
    data="MNIST 28×28: 60,000 training images, 10,000 test images",
    protocol=f"the preset as it stands; Fréchet distance of {SAMPLES} samples, clamped, against the test split in a "
    "classifier's features",
    seeds=(0,),
    minutes=22,
    bars={OVER: at_most(1, "below what mean and covariance alone reach")},
)
def measure(seed: int, run: Run) -> Figures:
    n = run.few(SAMPLES, 80)
    opened = run.fit("energy_matching", "mnist")
    model: Any = opened.model
    features, data = run.features_of(opened), opened.dataset
    real = features(data.split("test").head(run.few(10_000, 100)))
    x = drawn(model, n, seed)
    pictures.grid(x[:100], run.images / f"energy_matching_mnist_{seed}.png", columns=20)
    found = frechet(features(x), real)
    longer = []
    for i, part in enumerate(x.split(500)):
        rng = stream(seed, 0, i, 5)
        for _ in range(run.few(5, 1)):
            part = model.data_sampler(model.ebm().log_density, part, rng=rng)
        longer.append(part.clamp(-1, 1))
    some = data.batch(torch.randperm(data.examples, generator=stream(0, 0, 0, 4))[:n]).x
    gaussian = frechet(features(gaussian_samples(data, n, seed=0).clamp(-1, 1)), real)
    return Figures(
        {FD: found, OVER: found / gaussian, LONG: frechet(features(torch.cat(longer)), real)},
        {f"{FD}/Gaussian of the pixels": gaussian, f"{FD}/training images": frechet(features(some), real)},
    )
