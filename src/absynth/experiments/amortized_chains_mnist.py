"""MNIST: the latent EBM prior whose chains start at a small diffusion, against the one whose chains start at N(0, I).

The baselines of the samples are priors of the same generator: the diffusion without a chain, a Gaussian fitted to
posterior draws, and N(0, I).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.gaussian import Gaussian
from absynth.metrics.frechet import frechet
from absynth.seeding import noise_like, stream
from absynth.tasks.opened import Opened
from absynth.tasks.reconstruct import reconstruction_error
from absynth.tasks.sample import samples

SAMPLES = 5000
FRECHET = "Fréchet of samples"
OVER = "Fréchet over that of chains from N(0, I)"


@experiment(
    data="MNIST: 20,000 training images, 10,000 test images",
    protocol=f"presets as they stand: 900 updates of batch 100 each; {SAMPLES} samples of each model's own chain "
    "against the test split in the features of a classifier",
    seeds=(0, 1, 2),
    minutes=4,
    bars={OVER: at_most(0.9, "what amortizing is for")},
)
def measure(seed: int, run: Run) -> Figures:
    ours = run.fit("diffusion_amortized", "mnist")
    plain = run.fit("latent_prior", "mnist")
    features, n = run.features_of(ours), run.few(SAMPLES, 100)
    test = ours.examples("test").head(run.few(10_000, 100))
    real = features(test)
    model: Any = ours.model

    def distance(x: Tensor) -> float:
        return frechet(features(x.clamp(-1, 1)), real)

    def generated(z: Tensor) -> float:
        return distance(torch.cat([model.generate(part) for part in z.split(500)]))

    def error(opened: Opened) -> float:
        return reconstruction_error(opened.model, test, seed=seed, batch=500, device=opened.device)

    found, other = distance(samples(model, n, seed=seed)), distance(samples(plain.model, n, seed=seed))
    x = ours.examples("train").head(n)
    parts = enumerate(x.split(500))
    z_pos = torch.cat([model.sample_posterior(part, rng=stream(seed, 0, i, 5)) for i, part in parts])
    return Figures(
        {FRECHET: found, OVER: found / other, "test MSE": error(ours), "Fréchet of reconstructions": generated(z_pos)},
        {
            f"{FRECHET}/chains from N(0, I)": other,
            f"{FRECHET}/the diffusion alone": generated(model.slow.sample(n, rng=stream(seed, 0, 0, 6))),
            f"{FRECHET}/Gaussian of posterior draws": generated(Gaussian.fit(z_pos).sample(n, stream(seed, 0, 0, 7))),
            f"{FRECHET}/N(0, I)": generated(noise_like(z_pos, stream(seed, 0, 0, 8))),
            f"{FRECHET}/training images": distance(x),
            "test MSE/chains from N(0, I)": error(plain),
        },
    )
