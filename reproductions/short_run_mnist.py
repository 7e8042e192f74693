"""The short-run EBM on MNIST at 28×28 beside the Gaussian with the same mean and covariance.

    python reproductions/short_run_mnist.py --seeds 0 1 2

Fréchet distance in the 64 penultimate units of a classifier trained on the training split: 5,000 samples against the
10,000 test pictures, all clamped to [−1, 1] as pictures are. The share of each class is what the classifier says.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from absynth import Algorithm, fit, pictures, stream
from absynth.metrics.features import classifier_features
from absynth.metrics.frechet import frechet
from absynth.recipes.short_run_mnist import ShortRunMNIST
from absynth.results import record

N = 5000


def drawn(model: Algorithm, n: int, seed: int) -> Float[Tensor, "n c h w"]:
    """n samples, clamped."""
    return torch.cat([model.sample(250, rng=stream(seed, 0, part, 3)) for part in range(n // 250)]).clamp(-1, 1)


def gaussian(x: Float[Tensor, "n c h w"], n: int, seed: int) -> Float[Tensor, "m c h w"]:
    """n draws of the Gaussian with the mean and covariance of x, not clamped."""
    flat = x.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    noise = torch.randn(n, flat.shape[1], dtype=torch.float64, generator=stream(seed, 0, 0, 5))
    return (flat.mean(0) + noise * values.clamp(min=0).sqrt() @ vectors.T).float().view(n, *x.shape[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--out", type=Path, default=Path("results/short_run_mnist.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = ShortRunMNIST().resolve()
    assert isinstance(recipe, ShortRunMNIST)
    train, test = recipe.read("train"), recipe.read("test")
    features = classifier_features(train, cache=arguments.cache)
    weights = load_file(arguments.cache / f"{features.name}.safetensors")
    real = features(test.all())
    figure = f"fd[{features.name}]"
    found, beside = defaultdict(list), defaultdict(list)
    for seed in arguments.seeds:
        model = fit(replace(recipe, seed=seed), arguments.runs / f"short_run_mnist_{seed}", chains="planned")
        x = drawn(model, N, seed)
        seen = features(x)
        found[figure].append(frechet(seen, real))
        classes = (seen @ weights["head.weight"].T + weights["head.bias"]).argmax(1).bincount(minlength=10) / N
        found["smallest share of a class"].append(float(classes.min()))
        for digit, share in enumerate(classes.tolist()):
            found[f"share of class {digit}"].append(share)
        draws = gaussian(train.all()[:20_000], N, seed)
        beside["Gaussian of the pixels"].append(frechet(features(draws.clamp(-1, 1)), real))
        beside["Gaussian of the pixels, not clamped"].append(frechet(features(draws), real))
        some = torch.randperm(len(train), generator=stream(seed, 0, 0, 4))[:N]
        beside["training pictures"].append(frechet(features(train.batch(some)), real))
        print(f"seed {seed}: {found[figure][-1]:.1f}, shares {[round(s, 3) for s in classes.tolist()]}", flush=True)
        print({k: round(v[-1], 1) for k, v in beside.items()}, flush=True)
        pictures.grid(x[:100], arguments.runs / f"short_run_mnist_{seed}.png")
    budget = f"{recipe.chain_steps} steps × {recipe.steps} updates × {recipe.batch} chains"
    limit = sum(beside["Gaussian of the pixels"]) / len(arguments.seeds) / 3
    record(
        arguments.out,
        command="python reproductions/short_run_mnist.py --seeds " + " ".join(map(str, arguments.seeds)),
        data="MNIST, 28×28, the training split; the test split for the distance alone",
        protocol=f"{N} samples against 10,000 test pictures, all clamped to [−1, 1]; gradient evaluations: {budget}; "
        f"width {recipe.width} behind a strided stem; temperature {recipe.temperature:g}",
        seeds=arguments.seeds,
        figures=dict(found),
        baselines={f"{figure}/{name}": values for name, values in beside.items()},
        bars={
            figure: {"at_most": limit, "why": "a third of the full-covariance Gaussian's"},
            "smallest share of a class": {"at_least": 0.04, "why": "all ten classes are there"},
        },
    )


if __name__ == "__main__":
    main()
