"""Filling the middle of digits: five fills of each test image by conditional cooperative learning.

PSNR inside the hole is that of single fills; that of the mean of the five, which is no sample, is reported too. PSNR
rewards a blur, so a classifier trained on whole training images also reads the filled ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.experiments._classifier import share_read
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.seeding import stream
from absynth.tasks.inpaint import compute_baselines
from absynth.tasks.observed import psnr

IMAGES, FILLS, TRAIN = 1000, 5, 20_000
SINGLE, MEAN, GAIN = "PSNR of a fill", "PSNR of five fills' mean", "PSNR gained over the initial samples"
READ = "share of filled digits read as their label"


@experiment(
    data="MNIST; the training split to learn (20,000 of it to search for the nearest image), 1,000 test images",
    protocol=f"600 updates of 64, chains of 10 steps from initial samples; PSNR in dB inside the central 14×14 "
    f"pixels (peak 2, squared errors averaged over images), {FILLS} fills of each image",
    seeds=(0, 1),
    minutes=3,
    bars={
        SINGLE: at_least(13.3, "above the mean fill and the nearest training image"),
        GAIN: at_least(0.0, "the solver is not worse than the initializer"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("inpainting", "mnist")
    model, recipe = opened.model, opened.full
    made: Any = recipe
    test, train = opened.examples("test"), opened.examples("train")
    assert test.labels is not None
    x, labels = test.head(run.few(IMAGES)), test.labels[: run.few(IMAGES)]
    c, hole = made.source(x), made.hole()[0].bool()
    others = compute_baselines(x, hole, train.head(run.few(TRAIN, 60)))
    features = run.features_of(opened)

    def share(found: Tensor) -> float:
        return share_read(torch.where(hole, found, x), labels, features, run.features)

    initial = [model.initial_samples(len(x), c, rng=stream(seed, 0, k, 1))[1] for k in range(FILLS)]
    refined = [model.refine(v, c, rng=stream(seed, 0, k, 2)) for k, v in enumerate(initial)]
    before, after = (torch.stack(v).clamp(-1, 1) for v in (initial, refined))
    one = [psnr(v, x.expand_as(v), hole) for v in (before, after)]
    mean = [psnr(v.mean(0), x, hole) for v in (before, after)]
    read = [sum(map(share, v)) / FILLS for v in (before, after)]
    rows = {"image": x[:12], "seen": c[:12, :1], "initial": initial[0][:12]}
    rows |= {f"fill {k + 1}": torch.where(hole, refined[k], x)[:12] for k in range(3)}
    pictures.rows_with_labels(rows, run.images / "conditional_inpainting.png")
    return Figures(
        {SINGLE: one[1], MEAN: mean[1], GAIN: one[1] - one[0], READ: read[1]},
        {
            f"{SINGLE}/initial samples": one[0],
            f"{MEAN}/initial samples": mean[0],
            **{f"{SINGLE}/{name}": psnr(filled, x, hole) for name, filled in others.items()},
            f"{READ}/initial samples": read[0],
            f"{READ}/test images": share(x),
            **{f"{READ}/{name}": share(filled) for name, filled in others.items()},
        },
    )
