"""Cooperative diffusion recovery on MNIST at a third of diffusion recovery's steps.

Baselines: diffusion recovery with all steps and with the same few, a Gaussian of the pixels, training images.
"""

from __future__ import annotations

import torch

from absynth import pictures
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.experiments.multiscale_mnist import SAMPLES, drawn
from absynth.metrics.frechet import frechet
from absynth.seeding import stream
from absynth.tasks.evaluate import gaussian_samples

FD, OVER = "Fréchet distance", "Fréchet over that of diffusion recovery with 15 steps"
ALL, FEW = "diffusion recovery, 15 steps", "diffusion recovery, 5 steps"


@experiment(
    data="MNIST 28×28: 60,000 training images, 10,000 test images",
    protocol="presets as they stand, 1,800 updates of 64 images and 12 noise levels each: K = 5 a level with the "
    f"initializer, K = 15 and 5 without. Fréchet distance of {SAMPLES} samples, clamped, against the test split in a "
    "classifier's features",
    seeds=(0, 1),
    minutes=25,
    bars={OVER: at_most(1.1, "as good at a third of the steps")},
)
def measure(seed: int, run: Run) -> Figures:
    n = run.few(SAMPLES, 80)
    ours = run.fit("cooperative_recovery", "mnist")
    features, data = run.features_of(ours), ours.dataset
    real = features(data.split("test").head(run.few(10_000, 100)))
    x = drawn(ours.model, n, seed)
    pictures.grid(x[:100], run.images / f"cooperative_recovery_mnist_{seed}.png", columns=20)
    found = frechet(features(x), real)
    distances: dict[str, float] = {}
    for name, steps in ((ALL, 15), (FEW, 5)):
        other = run.fit("diffusion_recovery", "mnist", label=name, chain_steps=steps)
        distances[name] = frechet(features(drawn(other.model, n, seed)), real)
    some = data.batch(torch.randperm(data.examples, generator=stream(0, 0, 0, 4))[:n]).x
    baselines = {f"{FD}/{name}": value for name, value in distances.items()}
    baselines[f"{OVER}/{FEW}"] = distances[FEW] / distances[ALL]
    baselines[f"{FD}/Gaussian of the pixels"] = frechet(features(gaussian_samples(data, n, seed=0).clamp(-1, 1)), real)
    baselines[f"{FD}/training images"] = frechet(features(some), real)
    return Figures({FD: found, OVER: found / distances[ALL]}, baselines)
