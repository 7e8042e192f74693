"""MNIST from 100 labels by symbol-vector coupling, and what the same labels give without it."""

from __future__ import annotations

from absynth.experiments._few_labels import NOTE, accuracy
from absynth.experiments.harness import Figures, Run, at_least, experiment

FIVE = at_least(5.0, "what unlabelled images are worth, in points")


@experiment(
    data="MNIST: 20,000 training images of which 100 are labelled, all 10,000 test images",
    protocol="800 updates of 50 labelled and 150 unlabelled images; z of 16, fully connected networks of one hidden "
    f"layer of 400; numbers chosen on 2,000 training images that are set aside. {NOTE}",
    seeds=(0, 1, 2, 3, 4),
    minutes=2,
    bars={"points above labels alone": FIVE, "points above the best of the others": FIVE},
)
def measure(seed: int, run: Run) -> Figures:
    return Figures(*accuracy(run, "mnist"))
