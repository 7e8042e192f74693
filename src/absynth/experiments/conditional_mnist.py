"""Label to digit: samples read again by a classifier, their diversity, and the labels that f itself reads.

A classifier trained on the training split reads the labels of initial samples (the generator's) and of refined samples.
Diversity is the mean Euclidean distance of two examples of one class, over that of test images. f reads labels too: the
label of highest f(x, c) of test images.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from absynth import pictures
from absynth.experiments._classifier import share_read
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.metrics.frechet import frechet
from absynth.seeding import stream

SAMPLES = 2000
READ, DIVERSITY, BY_F = (
    "share read as its label",
    "diversity within a class",
    "share of test images whose label f reads",
)
GAIN = "share gained over the initial samples"


def diversity(x: Float[Tensor, "n c h w"], labels: Int[Tensor, "n"], classes: int) -> float:
    """The mean distance of two different examples of a class, averaged over classes."""
    found = []
    for label in range(classes):
        of = x[labels == label].flatten(1)
        found.append(float(torch.cdist(of, of).sum()) / max(len(of) * (len(of) - 1), 1))
    return sum(found) / classes


@experiment(
    data="MNIST: training split to learn, test split to compare with",
    protocol=f"preset mnist (1,400 updates of 64, K = 5, averaged weights); {SAMPLES} samples, labels in turn, read "
    f"by a classifier of the training split; Fréchet distance of refined samples to the test split in its features; "
    f"diversity is the mean distance of two examples of one class over that of {SAMPLES} test images; f reads all "
    f"test images",
    seeds=(0, 1),
    minutes=3,
    bars={
        READ: at_least(0.9, "the solver draws what it is given"),
        GAIN: at_least(0.0, "the slow solver is above the fast initializer"),
        DIVERSITY: at_least(0.7, "z is in use"),
        BY_F: at_least(0.2, "twice chance: f depends on c"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("conditional", "mnist")
    model: Any = opened.model
    features, test = run.features_of(opened), opened.examples("test")
    n, classes = run.few(SAMPLES, 100), len(test.class_names)
    x, labels = test.head(run.few(10_000, 200)), test.labels
    assert labels is not None
    labels = labels[: len(x)]
    c = torch.arange(n) % classes
    spread, real = diversity(x[:n], labels[:n], classes), features(x)
    initial = model.initial_samples(n, c, rng=stream(seed, 0, 0, 1))[1]
    refined = model.refine(initial, c, rng=stream(seed, 0, 0, 2)).clamp(-1, 1)
    before, after = (share_read(v, c, features, run.features) for v in (initial, refined))
    with torch.no_grad():
        by_f = float((model.ebm.f.by_label(x).argmax(1) == labels).float().mean())
    rows = {f"initial {i + 1}": initial[10 * i : 10 * i + 10] for i in range(3)}
    rows |= {f"refined {i + 1}": refined[10 * i : 10 * i + 10] for i in range(3)}
    pictures.rows_with_labels(rows, run.images / "conditional_mnist.png")
    distance = f"Fréchet distance [{features.name}]"
    some = torch.randperm(len(opened.examples("train")), generator=stream(seed, 0, 0, 3))[:n]
    return Figures(
        {READ: after, GAIN: after - before, DIVERSITY: diversity(refined, c, classes) / spread, BY_F: by_f,
         distance: frechet(features(refined), real)},
        {
            f"{READ}/initial samples": before,
            f"{READ}/test images": share_read(x, labels, features, run.features),
            f"{DIVERSITY}/initial samples": diversity(initial, c, classes) / spread,
            f"{BY_F}/chance": 1 / classes,
            f"{distance}/initial samples": frechet(features(initial), real),
            f"{distance}/training images": frechet(features(opened.examples("train").batch(some).x), real),
        },
    )  # fmt: skip
