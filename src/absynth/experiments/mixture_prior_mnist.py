"""MNIST: a latent prior that tilts a mixture of Gaussians fitted to the posterior, against its limits and baselines.

The limit is the generator: the Fréchet distance of images generated back from posterior draws of training images. The
baselines are priors of the same generator, N(0, I) and the mixture without f, and the recorded figure of the latent
prior that short chains teach.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth import results
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.seeding import noise_like, stream
from absynth.tasks.sample import samples

SAMPLES = 5000
PLAIN = "latent_prior_mnist"
"""Record of the latent prior that short chains teach, on 20,000 images."""


@experiment(
    data="MNIST: 60,000 training images, 10,000 test images",
    protocol=f"the preset as it stands; Fréchet distance of {SAMPLES} samples to the test split in the features of a "
    "classifier, after the chain's own 60 steps and after 600; reconstructions are images generated from posterior "
    f"draws of {SAMPLES} training images",
    seeds=(0, 1, 2),
    minutes=7,
    bars={
        "Fréchet of samples": at_most(30, "as good as a mixture of 50 Gaussians fitted afterwards was"),
        "Fréchet of reconstructions": at_most(6, "so that the prior is what is measured"),
        "Fréchet at 10 times the chain's length over its own": at_most(1.2, "stable in long chains"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("mixture_prior", "mnist")
    model: Any = opened.model
    features, n, trained = run.features_of(opened), run.few(SAMPLES, 100), model.chain_steps()
    real = features(opened.examples("test").head(run.few(10_000, 100)))

    def distance(x: Tensor) -> float:
        return frechet(features(x.clamp(-1, 1)), real)

    lengths = {}
    for length in (0, trained, 10 * trained):
        model.set_chain_steps(length)
        lengths[length] = distance(samples(model, n, seed=seed))
    model.set_chain_steps(trained)
    x = opened.examples("train").head(n)
    parts = enumerate(x.split(500))
    z = torch.cat([model.sample_posterior(part, rng=stream(seed, 0, i, 5)) for i, part in parts])
    normal = model.generate(noise_like(z, stream(seed, 0, 0, 6)))
    figure = "Fréchet of samples"
    baselines = {
        f"{figure}/mixture without f": lengths[0],
        f"{figure}/N(0, I)": distance(normal),
        f"{figure}/training images": distance(x),
    }
    recorded = results.load_all(results.records_folder()).get(PLAIN)
    for name, values in recorded.figures.items() if recorded else ():
        if name == f"Fréchet [{features.name}], 60 prior steps":
            baselines[f"{figure}/latent prior, recorded"] = sum(values) / len(values)
    return Figures(
        {
            figure: lengths[trained],
            "Fréchet at 10 times the chain's length": lengths[10 * trained],
            "Fréchet at 10 times the chain's length over its own": lengths[10 * trained] / lengths[trained],
            "Fréchet of reconstructions": distance(model.generate(z)),
        },
        baselines,
    )
