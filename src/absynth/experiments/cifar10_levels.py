"""How far a CPU core gets on CIFAR-10 in a minute or two: coarse to fine, and diffusion recovery.

Each preset trains with its own numbers except its width, updates and warm-up. Fréchet distance of its samples in the
units of a small classifier trained on the training split: no Inception distance, and not to be compared with published
ones.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from absynth import pictures
from absynth.experiments.harness import Figures, Run, experiment
from absynth.metrics.frechet import frechet
from absynth.samplers import engine
from absynth.seeding import stream
from absynth.tasks.evaluate import gaussian_samples

N = 500
METHODS: dict[str, dict[str, Any]] = {
    "coarse to fine": {"method": "coarse_to_fine", "energy_width": 16, "steps": 120, "checkpoint_every": 60},
    "diffusion recovery": {
        "method": "diffusion_recovery", "energy_width": 16, "steps": 80, "warmup": 20, "energy_lr": 1e-3, "ema": 0.9,
        "checkpoint_every": 40,
    },
}  # fmt: skip


@experiment(
    data="CIFAR-10, 32×32: the training split; the test split for the distance alone",
    protocol=f"coarse to fine 120 updates of 64 at width 16, diffusion recovery 80; {N} samples against 10,000 test "
    f"images",
    seeds=(0,),
    minutes=5,
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    gaussian = None
    for name, fields in METHODS.items():
        fields = dict(fields)
        begun = time.process_time()
        opened = run.fit(fields.pop("method"), "cifar10", label=name, **fields)
        spent = time.process_time() - begun
        n, half = run.few(N, 20), run.few(250, 10)
        with engine.use("traced"):
            parts = [opened.model.sample(half, rng=stream(seed, 0, k, 3)) for k in range(n // half)]
        x = torch.cat(parts).clamp(-1, 1)
        pictures.grid(x[:100], run.images / f"cifar10_{name.replace(' ', '_')}_{seed}.png")
        features, train = run.features_of(opened), opened.examples("train")
        real = features(opened.examples("test").head(run.few(10_000, 200)))
        some = torch.randperm(len(train), generator=stream(0, 0, 0, 4))[:n]
        space = f"fd[{features.name}], {name}"
        values |= {space: frechet(features(x), real), f"CPU seconds, {name}": spent}
        baselines[f"{space}/training images"] = frechet(features(train.batch(some).x), real)
        gaussian = gaussian_samples(train, n, seed=0) if gaussian is None else gaussian  # half a minute
        baselines[f"{space}/Gaussian of the pixels"] = frechet(features(gaussian), real)
    return Figures(values, baselines)
