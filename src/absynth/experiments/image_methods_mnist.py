"""Every method that makes images, on MNIST: at equal updates and at equal processor time."""

from __future__ import annotations

from absynth.experiments._image_methods import MNIST, compare
from absynth.experiments.harness import Figures, Run, experiment


@experiment(data="MNIST: 60,000 training images, 10,000 test images", protocol=MNIST.protocol, seeds=(0,), minutes=110)
def measure(seed: int, run: Run) -> Figures:
    return compare(run, MNIST)
