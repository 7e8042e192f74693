"""MNIST, a feature-map z: reconstruction beside a vector z, the learned prior beside N(0, I), and how local a site is.

z is a map of 4×4×16, or a vector of 16; generators of as many parameters (within 10 %), the same updates of the same
minibatches.
"""

from __future__ import annotations

from typing import Any

import torch

from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.seeding import stream
from absynth.tasks import edit
from absynth.tasks.reconstruct import reconstruction_error
from absynth.tasks.sample import samples

TEST, SAMPLES, PAIRS = 2000, 2000, 500


@experiment(
    data=f"MNIST: 20,000 training images; the first {TEST} test images for the MSE, all 10,000 for Fréchet",
    protocol=f"the preset as it stands, z a map or a vector; {SAMPLES} samples, Fréchet distance in the features of a "
    f"classifier; locality over {PAIRS} pairs of test images: one site of z taken from another image, share of the "
    "squared change within half a cell (3.5 pixels) of the site's own 7×7 cell, a quarter of the image or less",
    seeds=(0, 1),
    minutes=8,
    bars={
        "test MSE over that of a vector z": at_most(1.0, "generators of equal size"),
        "Fréchet over that with z from N(0, I)": at_most(0.7, "same generator: the prior's own gain"),
        "effect of a site within half a cell of its own": at_least(
            0.6, "a window inside its receptive field, at most a quarter of the image"
        ),
    },
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for shape in ("map", "vector"):
        opened = run.fit("latent_prior_conv", "mnist", label=shape, latent_shape=shape)
        model: Any = opened.model
        images: Any = opened.examples("test")
        parameters = sum(p.numel() for p in model.generator.parameters())
        x = images.head(run.few(TEST, 20))
        mse = reconstruction_error(model, x, seed=seed, batch=500, device=opened.device)
        features = run.features_of(opened)
        real = features(images.head(run.few(10_000, 100)))
        name, n = f"Fréchet [{features.name}]", run.few(SAMPLES, 80)
        learned = frechet(features(samples(model, n, seed=seed).clamp(-1, 1)), real)
        if shape == "vector":
            baselines |= {"test MSE/vector z": mse, f"{name}/vector z": learned}
            baselines["generator parameters/vector z"] = parameters
            values["test MSE over that of a vector z"] = values["test MSE"] / mse
            continue
        z = model.latent_density().reference.sample(n, stream(seed, 0, 0, 1))
        plain = frechet(features(torch.cat([model.generate(part) for part in z.split(500)]).clamp(-1, 1)), real)
        values |= {"test MSE": mse, name: learned, "Fréchet over that with z from N(0, I)": learned / plain}
        baselines[f"{name}/same model, z from N(0, I)"] = plain
        values["generator parameters"] = parameters
        rng, pairs = stream(seed, 0, 0, 2), run.few(PAIRS, 10)
        a, b = (model.sample_posterior(part, rng=rng) for part in x[: 2 * pairs].split(pairs))
        shares = edit.locality(edit.effects(model, a, b))
        values["effect of a site within half a cell of its own"] = shares["in the window"]
        values["effect of a site in its own cell"] = shares["in the cell"]
        values["pixels that a site reaches"] = shares["pixels reached"]
    return Figures(values, baselines)
