"""Methods that make images at equal updates and at equal seconds, one thread of one core.

The networks are small: those of ``conditional`` where a method has a generator and an energy of images and learns
better with them, else those of its preset. Batches of 32 for all, and averaged weights but where chains from noise
follow an energy that still changes fast. Settings were chosen by pilots of a minute, on a seed without a figure, by
images of the training split that were left out of training.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.experiments._rivals_images import draw
from absynth.experiments.harness import Figures, Run
from absynth.metrics.features import Features
from absynth.metrics.frechet import frechet
from absynth.recipes.cooperative import CONVOLUTIONS
from absynth.seeding import stream
from absynth.tasks.evaluate import gaussian_samples
from absynth.tasks.opened import Opened

SAMPLES, SHOWN = 2000, 20
DISTANCE = "Fréchet distance"
_ALL: dict[str, Any] = {"batch": 32, "ema": 0.99, "threads": 1, "limit": 0}
TEACHING: dict[str, Any] = CONVOLUTIONS | {"inference_width": 16, "inference_lr": 1e-3}


@dataclass(frozen=True)
class Contest:
    """Methods on one data set, and what each may spend.

    Attributes:
        data: The data set.
        methods: Method -> field values where they are not those of the preset of the data set.
        updates: Number of updates of the first training.
        minutes: Processor time of the second.
    """

    data: str
    methods: Mapping[str, Mapping[str, Any]]
    updates: int = 500
    minutes: int = 5

    @property
    def equal(self) -> tuple[str, str]:
        """What is equal in the first training and in the second."""
        return f"{self.updates} updates", f"{self.minutes} min"

    @property
    def protocol(self) -> str:
        """What every method gets and how it is judged."""
        return (
            f"{self.updates} updates in batches of 32, and as many as fill {self.minutes} min of processor time on one "
            f"thread, each with its own schedule; squared Fréchet distance of {SAMPLES} samples to the test split in a "
            f"classifier's features; settings by pilots of another seed on images left out of training"
        )


MNIST = Contest("mnist", {
    "vae": {},
    "latent_prior": {},
    "latent_prior_conv": {},
    "diffusion_amortized": {},
    "discrepancy_prior": {},
    "mixture_prior": {},
    "cooperative": CONVOLUTIONS,
    "conditional": {"ema": 0.995},
    "variational_teaching": TEACHING,
    "dual_teaching": TEACHING,
    "divergence_triangle": {},
    "joint_vae": {},
    "maximum_likelihood": {"ema": 0.0},
    "multigrid": {"ema": 0.0},
    "coarse_to_fine": {"ema": 0.0},
    "diffusion_recovery": {},
    "cooperative_recovery": {},
})  # fmt: skip


def measure_method(run: Run, method: str, contest: Contest, n: int) -> tuple[dict[str, float], Tensor, Opened]:
    """Figures of one method, its samples after the longer training, and that run."""
    values: dict[str, float] = {}
    recipe = run.recipe(method, contest.data, **_ALL | dict(contest.methods[method]))
    steps = run.few(contest.updates, 20)
    for at in contest.equal:
        begun = time.process_time()
        opened = run.train(replace(recipe, steps=steps, checkpoint_every=max(1, steps // 4)), f"{method}, {at}")
        seconds = time.process_time() - begun
        x, drawing = draw(opened, n, run.seed)
        real = opened.examples("test").head(run.few(10_000, 200))
        features = run.features_of(opened)
        values |= {
            f"{DISTANCE}, {at}, {method}": frechet(features(x), features(real)),
            f"processor seconds, {at}, {method}": seconds,
            f"updates, {at}, {method}": steps,
        }
        if not run.tiny:  # what the first training cost says how many updates fill the minutes
            steps = max(1, round(steps * 60 * contest.minutes / seconds))
    parameters = sum(p.numel() for p in opened.model.parameters())
    values |= {f"seconds to draw {SAMPLES}, {method}": drawing, f"parameters, {method}": parameters}
    return values, x, opened


def compare(run: Run, contest: Contest) -> Figures:
    """Every method of a contest. A method that was measured before the experiment was stopped is not again."""
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    sheet: dict[str, Tensor] = {}
    n = run.few(SAMPLES, 80)
    for method in contest.methods:
        kept = run.folder / f"{method}.pt"
        if not kept.exists() or run.tiny:
            with TemporaryDirectory(dir=run.folder) as where:  # a training that was stopped has no honest seconds
                found, x, opened = measure_method(replace(run, folder=Path(where)), method, contest, n)
                first = {} if baselines else _first(run, opened, n)
                torch.save({"values": found, "shown": x[:SHOWN].clone(), "first": first}, kept)
        saved = torch.load(kept)
        values |= saved["values"]
        sheet = sheet or {"data": saved["first"]["shown"]}
        sheet[method] = saved["shown"]
        if not baselines:
            baselines = {f"{DISTANCE}, {at}, {method}/{name}": value
                         for at in contest.equal for name, value in saved["first"]["references"].items()}  # fmt: skip
    pictures.rows_with_labels(sheet, run.images / f"image_methods_{contest.data}_{run.seed}.png")
    return Figures(values, baselines)


def _first(run: Run, opened: Opened, n: int) -> dict[str, Any]:
    """Images of the test split, and the distances of training images and of the Gaussian of the pixels."""
    features: Features = run.features_of(opened)
    test, train = opened.examples("test").head(run.few(10_000, 200)), opened.examples("train")
    some = train.batch(torch.randperm(len(train), generator=stream(run.seed, 0, 0, 4))[:n]).x
    gaussian = gaussian_samples(train, n, seed=run.seed).clamp(-1, 1)
    return {
        "shown": test[:SHOWN].clone(),
        "references": {
            "training images": frechet(features(some), features(test)),
            "Gaussian of the pixels": frechet(features(gaussian), features(test)),
        },
    }
