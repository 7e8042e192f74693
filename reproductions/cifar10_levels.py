"""How far a CPU core gets on CIFAR-10 in a minute or two: coarse to fine, and diffusion recovery.

    python reproductions/cifar10_levels.py --seeds 0

Each recipe trains with its own numbers but for its width, updates and warm-up; is stopped half way as by Ctrl-C, goes
on by the same call, and is sampled. Fréchet distance of its samples in the units of a small classifier trained on
the training split: no Inception distance, and not to be compared with published ones.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import torch

from absynth import Algorithm, fit, pictures, stream
from absynth.metrics.features import classifier_features
from absynth.metrics.frechet import frechet
from absynth.recipes.coarse_to_fine_cifar10 import CoarseToFineCIFAR10
from absynth.recipes.diffusion_recovery_cifar10 import DiffusionRecoveryCIFAR10
from absynth.recipes.recipe import Recipe
from absynth.results import record
from absynth.samplers import engine
from absynth.tasks.evaluate import gaussian_pixels

N = 500


class Stop:
    """Presses Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def begin(self, recipe: Recipe, step: int) -> None: ...
    def say(self, text: str) -> None: ...
    def end(self) -> None: ...

    def log(self, row: dict) -> None:
        """Told of every line of metrics.jsonl."""
        if row["step"] == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def drawn(model: Algorithm, seed: int) -> torch.Tensor:
    """N samples, clamped."""
    with engine.use("planned"):
        return torch.cat([model.sample(250, rng=stream(seed, 0, k, 3)) for k in range(N // 250)]).clamp(-1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--out", type=Path, default=Path("results/cifar10_levels.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipes = {
        "coarse to fine": CoarseToFineCIFAR10(width=16, steps=120, log_every=10, checkpoint_every=60),
        "diffusion recovery": DiffusionRecoveryCIFAR10(
            width=16, steps=80, warmup=20, lr=1e-3, ema=0.9, log_every=10, checkpoint_every=40
        ),
    }
    train, test = recipes["coarse to fine"].images("train"), recipes["coarse to fine"].images("test")
    features = classifier_features(train, cache=arguments.cache)
    real = features(test.all())
    some = torch.randperm(len(train), generator=stream(0, 0, 0, 4))[:N]
    floor = {
        "training pictures": [frechet(features(train.batch(some)), real)],
        "Gaussian of the pixels": [frechet(features(gaussian_pixels(train, N, seed=0)), real)],
    }
    space = f"fd[{features.name}]"
    figures: dict[str, list[float]] = {}
    for seed in arguments.seeds:
        for name, recipe in recipes.items():
            run, half = arguments.runs / f"cifar10_{name.replace(' ', '_')}_{seed}", recipe.steps // 2
            recipe = replace(recipe, seed=seed)
            begun = time.process_time()
            try:
                fit(recipe, run, chains="planned", watchers=[Stop(half)])
            except KeyboardInterrupt:
                print(f"{name}: stopped at {half}", flush=True)
            spent = time.process_time() - begun
            begun = time.process_time()
            model = fit(recipe, run, chains="planned")
            spent += time.process_time() - begun
            x = drawn(model, seed)
            pictures.grid(x[:100], arguments.runs / f"cifar10_{name.replace(' ', '_')}_{seed}.png")
            figures.setdefault(f"{space}, {name}", []).append(frechet(features(x), real))
            figures.setdefault(f"CPU seconds, {name}", []).append(spent)
            print(f"seed {seed}, {name}:", {k: round(v[-1], 1) for k, v in figures.items() if name in k}, flush=True)
    updates = ", ".join(f"{name} {r.steps} updates of {r.batch} at width {r.width}" for name, r in recipes.items())
    record(
        arguments.out,
        command="python reproductions/cifar10_levels.py --seeds " + " ".join(map(str, arguments.seeds)),
        data="CIFAR-10, 32×32: the training split; the test split for the distance alone",
        protocol=f"{updates}; stopped half way and gone on from the checkpoint; {N} samples against 10,000 test "
        f"pictures in the features {features.name}, a classifier of accuracy {features.accuracy or 0:.2f}",
        seeds=arguments.seeds,
        figures=figures,
        baselines={f"{space}, {name}/{what}": values for name in recipes for what, values in floor.items()},
        bars={},
    )


if __name__ == "__main__":
    main()
