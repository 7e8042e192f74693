"""Energy-based models beside a diffusion model and a GAN on MNIST, at equal processor time."""

from __future__ import annotations

from absynth.experiments._rivals_images import BARS, PROTOCOL, compare
from absynth.experiments.harness import Figures, Run, experiment


@experiment(
    data="MNIST: 60,000 training images, 10,000 test images",
    protocol=PROTOCOL,
    seeds=(0, 1),
    minutes=35,
    bars=BARS,
)
def measure(seed: int, run: Run) -> Figures:
    return compare(run, "mnist")
