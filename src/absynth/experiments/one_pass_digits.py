"""log p of 8×8 digits from one pass of a network, against annealed importance sampling of the same model.

Diffusive classification normalizes at its optimum: log Z of the learned log density would be 0. Annealing bounds log Z
from below and above, so the one-pass figure lies between the annealed ones if 0 lies between the bounds. Baseline: the
Gaussian of the training images, with the same noise.
"""

from __future__ import annotations

from typing import Any

import torch

from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.gaussian import Gaussian
from absynth.metrics.likelihood import log_z
from absynth.seeding import noise_like, stream

OUTSIDE = "nats by which one pass leaves the annealed bounds"


@experiment(
    data="scikit-learn's 8×8 digits, training and test splits, with noise of .1 that the model learns too",
    protocol="the preset as it stands; 128 chains and 1,000 temperatures of 10 leapfrog steps forward and back; log p "
    "in nats of noisy test images by one pass, and with log Z from below and above",
    seeds=(0, 1, 2),
    minutes=4,
    bars={OUTSIDE: at_most(0, "log p of one pass lies between the two bounds")},
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("diffusive_classification", "digits")
    model: Any = opened.model
    density = model.chain().density
    found = log_z(  # in whitened coordinates: log Z is the same there, and chains are shorter
        lambda u: model.log_density(len(u), 0)(u),
        model.ebm.reference,
        chains=run.few(128, 8),
        temperatures=run.few(1000, 10),
        rng=stream(seed, 0, 0, 4),
    )
    low, high = found.lower.value, found.upper.value
    noise = float(opened.recipe.data_noise)
    train, test = opened.examples("train").all(), opened.examples("test").all()
    noisy = test + noise * noise_like(test, stream(seed, 0, 0, 5))
    with torch.no_grad():
        one_pass = float(density.log_density(noisy).mean())
    gaussian = Gaussian.fit(train + noise * noise_like(train, stream(seed, 0, 0, 6)))
    figure = "log p of test images, one pass"
    return Figures(
        {OUTSIDE: max(low, -high, 0.0), figure: one_pass, "log Z from below": low, "log Z from above": high},
        {
            f"{figure}/annealing, log Z from above": one_pass - high,
            f"{figure}/annealing, log Z from below": one_pass - low,
            f"{figure}/Gaussian": float(gaussian.log_prob(noisy).mean()),
        },
    )
