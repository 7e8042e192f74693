"""The short-run EBM on MNIST at 28×28, and the Gaussian with the same mean and covariance.

Fréchet distance in the 64 penultimate units of a classifier trained on the training split: 5,000 samples against the
10,000 test images, all clamped to [−1, 1] as images are. The share of each class is what the classifier reads.
"""

from __future__ import annotations

import torch

from absynth import pictures
from absynth.experiments._classifier import read_as
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.seeding import stream
from absynth.tasks.evaluate import gaussian_samples

N = 5000
FD, SMALLEST = "fd[lenet64-mnist-1x28x28-seed0]", "smallest share of a class"


@experiment(
    data="MNIST, 28×28, the training split; the test split for the distance alone",
    protocol=f"{N} samples against 10,000 test images, all clamped to [−1, 1]; gradient evaluations: 30 steps × "
    "1,200 updates × 64 chains; width 32 behind a strided stem; temperature 5e-05",
    seeds=(0, 1, 2),
    minutes=8,
    bars={
        FD: at_most(152, "a third of the full-covariance Gaussian's"),
        SMALLEST: at_least(0.04, "all ten classes are there"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("maximum_likelihood", "mnist")
    features, train = run.features_of(opened), opened.examples("train")
    real = features(opened.examples("test").head(run.few(10_000, 200)))
    n, part = run.few(N), run.few(250, 20)
    x = torch.cat([opened.model.sample(part, rng=stream(seed, 0, k, 3)) for k in range(n // part)]).clamp(-1, 1)
    shares = (read_as(x, features, run.features).bincount(minlength=10) / n).tolist()
    draws = gaussian_samples(train, n, seed=seed)
    some = torch.randperm(len(train), generator=stream(seed, 0, 0, 4))[:n]
    pictures.grid(x[:100], run.images / f"short_run_mnist_{seed}.png")
    values = {FD: frechet(features(x), real), SMALLEST: min(shares)}
    values |= {f"share of class {digit}": share for digit, share in enumerate(shares)}
    return Figures(
        values,
        {
            f"{FD}/Gaussian of the pixels": frechet(features(draws.clamp(-1, 1)), real),
            f"{FD}/Gaussian of the pixels, not clamped": frechet(features(draws), real),
            f"{FD}/training images": frechet(features(train.batch(some).x), real),
        },
    )
