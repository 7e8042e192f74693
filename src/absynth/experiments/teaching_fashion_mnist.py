"""Methods that teach a generator, on Fashion-MNIST, at the same processor time."""

from __future__ import annotations

from absynth.experiments._teaching_images import BARS, PROTOCOL, compare
from absynth.experiments.harness import Figures, Run, experiment


@experiment(
    data="Fashion-MNIST: 20,000 training images, 10,000 test images",
    protocol=PROTOCOL,
    seeds=(0, 1),
    minutes=8,
    bars=BARS,
)
def measure(seed: int, run: Run) -> Figures:
    return compare(run, "fashion_mnist")
