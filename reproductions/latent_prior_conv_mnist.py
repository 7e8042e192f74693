"""MNIST, a feature-map z: reconstruction beside a vector z, the learned prior beside N(0, I), and how local a site is.

    python reproductions/latent_prior_conv_mnist.py --seeds 0 1

z is a map of 4×4×16, or a vector of 16; generators of as many parameters (within 10 %), the same updates of the same
batches. Test MSE with the trained K_1; Fréchet distance of 2,000 samples to the 10,000 test pictures in the features of
a classifier, with z from the learned prior and from N(0, I) through the same generator; locality over 500 pairs of test
pictures.
Runs are kept under runs/ and gone on with if the script is stopped.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch

from absynth import results
from absynth.metrics.frechet import frechet
from absynth.recipes.latent_prior_conv_mnist import LatentPriorConvMNIST
from absynth.seeding import stream
from absynth.tasks import edit
from absynth.tasks.evaluate import feature_space
from absynth.tasks.opened import open_run
from absynth.tasks.reconstruct import reconstruction_error
from absynth.tasks.sample import samples
from absynth.training import fit

TEST = 2000
SAMPLES = 2000
PAIRS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    seeds = (arguments := parser.parse_args()).seeds
    figures, baselines = defaultdict(list), defaultdict(list)
    for seed in seeds:
        ours = LatentPriorConvMNIST(seed=seed)
        sizes = {}
        for shape, recipe in {"map": ours, "vector": replace(ours, shape="vector")}.items():
            run = arguments.runs / f"latent_prior_conv_mnist_{shape}_{seed}"
            fit(recipe, run)
            opened = open_run(run, "cpu")
            model, images = opened.latent(), opened.images("test")
            sizes[shape] = sum(p.numel() for p in model.generator.parameters())
            x = images.batch(torch.arange(TEST))
            mse = reconstruction_error(model, x, seed=seed, batch=500, device=opened.device)
            features = feature_space(ours.read("train"), Path("runs/features"))
            real = features(images.all())
            name = f"Fréchet [{features.name}]"
            learned = frechet(features(samples(model, SAMPLES, seed=seed).clamp(-1, 1)), real)
            if shape == "vector":
                baselines["test MSE/vector z"].append(mse)
                baselines[f"{name}/vector z"].append(learned)
                continue
            z = model.prior.reference.sample(SAMPLES, stream(seed, 0, 0, 1))
            plain = frechet(features(torch.cat([model.decode(part) for part in z.split(500)]).clamp(-1, 1)), real)
            figures["test MSE"].append(mse)
            figures[name].append(learned)
            baselines[f"{name}/same model, z from N(0, I)"].append(plain)
            figures["Fréchet over that with z from N(0, I)"].append(learned / plain)
            rng = stream(seed, 0, 0, 2)
            a, b = (model.sample_posterior(part, rng=rng) for part in x[: 2 * PAIRS].split(PAIRS))
            shares = edit.locality(edit.effects(model, a, b))
            figures["effect of a site within half a cell of its own"].append(shares["in the window"])
            figures["effect of a site in its own cell"].append(shares["in the cell"])
            figures["pixels that a site reaches"].append(shares["pixels reached"])
        figures["test MSE over that of a vector z"].append(figures["test MSE"][-1] / baselines["test MSE/vector z"][-1])
        figures["generator parameters"].append(sizes["map"])
        baselines["generator parameters/vector z"].append(sizes["vector"])
        print(seed, {name: values[-1] for name, values in [*figures.items(), *baselines.items()]}, flush=True)
    results.record(
        Path("results/latent_prior_conv_mnist.json"),
        command=f"python reproductions/latent_prior_conv_mnist.py --seeds {' '.join(map(str, seeds))}",
        data=f"MNIST: 20,000 training pictures; the first {TEST} test pictures for the MSE, all 10,000 for Fréchet",
        protocol=f"{ours.steps} updates of batch {ours.batch}, z of 4×4×{ours.maps} or a vector of {ours.vector}, "
        f"K0 {ours.prior_steps} (δ {ours.prior_step_size}), K1 {ours.posterior_steps} (δ {ours.posterior_step_size}), "
        f"σ {ours.std}; {SAMPLES} samples; locality: one site of z taken from another picture, share of the "
        "squared change within half a cell (3.5 pixels) of the site's own 7×7 cell, a quarter of the image or less",
        seeds=seeds,
        figures=dict(figures),
        baselines=dict(baselines),
        bars={
            "test MSE over that of a vector z": {"at_most": 1.0, "why": "generators of equal size"},
            "Fréchet over that with z from N(0, I)": {"at_most": 0.7, "why": "same generator: the prior's own gain"},
            "effect of a site within half a cell of its own": {
                "at_least": 0.6,
                "why": "a window inside its receptive field, at most a quarter of the image",
            },
        },
    )


if __name__ == "__main__":
    main()
