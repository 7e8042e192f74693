"""The divergence triangle: does f rank data over noise, and what does the surrogate of entropy keep?

    python reproductions/divergence_triangle.py --seeds 0 1

Ring of eight Gaussians and MNIST. AUROC of f, 2,000 examples against 2,000 of uniform noise, for the recipes as they
are: noise on [-4, 4]², which meets the modes now and then (the true density's AUROC stands beside it), and [-1, 1]
in every pixel. Modes among 2,000 drafts, with and without −log q(z|g(z)) in the generator's loss; on the ring at two
widths σ of p(x|z): at the recipe's, and at one so wide that KL(Q‖P) no longer tells the generator where the data are. A
digit counts as a mode, and a draft belongs to the class whose mean in a classifier's features is nearest.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import fit, results, stream
from absynth.metrics.features import classifier_features
from absynth.metrics.frechet import frechet
from absynth.metrics.grid import Grid
from absynth.metrics.kernel import mmd, modes_hit
from absynth.metrics.ranking import detection
from absynth.recipes._teaching import RING
from absynth.recipes.divergence_triangle_mnist import DivergenceTriangleMNIST
from absynth.recipes.divergence_triangle_ring import DivergenceTriangleRing
from absynth.seeding import uniform_like
from absynth.types import LogDensity

N = 2000
WIDE, WIDE_STEPS = 4.0, 1000
GENTLE = {"ebm_lr": 5e-4, "beta1": 0.5, "ema": 0.0}
"""What the comparison at the wide σ trains with: both of its sides alike, and short."""
GRID = Grid(-6, 6, 300, 2, dtype=torch.float32)


def auroc(f: LogDensity, data: Float[Tensor, "n *event"], reach: float, seed: int) -> float:
    """The probability that f is higher at an example than at a draw of uniform noise on [-reach, reach]."""
    noise = reach * (2 * uniform_like(data, stream(seed, 0, 0, 1)) - 1)
    with torch.no_grad():
        score = -f(torch.cat([data, noise]))
    return detection(score, torch.arange(2 * len(data)) >= len(data)).auroc


def trained(recipe: DivergenceTriangleRing | DivergenceTriangleMNIST) -> Any:
    """The recipe's model."""
    with tempfile.TemporaryDirectory() as folder:
        return fit(recipe, Path(folder) / "run")


def main() -> None:
    parser = argparse.ArgumentParser(description="What the divergence triangle learns, and what its surrogate keeps.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    seeds = (arguments := parser.parse_args()).seeds
    torch.set_num_threads(1)
    figures: dict[str, list[float]] = defaultdict(list)
    truth: list[float] = []
    train, test = (DivergenceTriangleMNIST().read(split) for split in ("train", "test"))
    features = classifier_features(train, cache=arguments.cache)
    of_test, labels = features(test.all()), test.labels
    assert labels is not None
    means = torch.stack([of_test[labels == label].mean(0) for label in range(10)])
    for k, seed in enumerate(seeds):
        data = RING.sample(N, stream(seed, 0, 0, 2))
        ring = DivergenceTriangleRing(seed=seed)
        for width in (ring.std, WIDE):
            for said, entropy in (("with", 1.0), ("without", 0.0)):
                steps = ring.steps if width == ring.std else WIDE_STEPS
                numbers = {} if width == ring.std else GENTLE
                model = trained(
                    replace(ring, std=width, entropy=entropy, steps=steps, checkpoint_every=steps, **numbers)
                )
                _, drafts = model.draft(N, rng=stream(seed, 0, 0, 3))
                where = f"ring, σ = {width:g}, {said} the surrogate"
                figures[f"modes of 8, {where}"].append(modes_hit(drafts, RING.means.float()))
                figures[f"MMD of drafts, {where}"].append(mmd(drafts, data))
                if width == ring.std and entropy:
                    figures["AUROC of f, ring"].append(auroc(model.ebm().f, data, 4.0, seed))
                    figures["KL of the ebm, ring"].append(GRID.kl(RING.log_prob, model.ebm().log_density))
                    truth.append(auroc(RING.log_prob, data, 4.0, seed))
        digits = DivergenceTriangleMNIST(seed=seed, steps=500, checkpoint_every=500)
        for said, entropy in (("with", 1.0), ("without", 0.0)):
            model = trained(replace(digits, entropy=entropy))
            _, drafts = model.draft(N, rng=stream(seed, 0, 0, 3))
            seen = features(drafts)
            figures[f"modes of 10, MNIST, {said} the surrogate"].append(modes_hit(seen, means))
            figures[f"Fréchet of drafts, MNIST, {said} the surrogate"].append(frechet(seen, of_test))
            if entropy:
                figures["AUROC of f, MNIST"].append(auroc(model.ebm().f, test.batch(torch.arange(N)), 1.0, seed))
        print(f"seed {seed}", {name: values[-1] for name, values in figures.items()}, flush=True)
        write(seeds[: k + 1], ring, features.name, figures, truth)


def write(
    seeds: list[int],
    ring: DivergenceTriangleRing,
    features: str,
    figures: dict[str, list[float]],
    truth: list[float],
) -> None:
    """The record."""
    modes = "modes of 8, ring, σ = {:g}, {} the surrogate"
    bars = {name: {"at_least": 0.95, "why": "f ranks data over noise"} for name in figures if "AUROC" in name}
    bars[modes.format(ring.std, "with")] = {"at_least": 8, "why": "the recipe keeps all modes"}
    bars[modes.format(WIDE, "with")] = {"at_least": 8, "why": "the surrogate alone keeps them"}
    bars[modes.format(WIDE, "without")] = {"at_most": 7, "why": "modes drop without it"}
    results.record(
        Path("results/divergence_triangle.json"),
        command=f"python reproductions/divergence_triangle.py --seeds {' '.join(map(str, seeds))}",
        data="eight Gaussians of standard deviation 0.2 on a circle of radius 2, fresh draws; MNIST, 20,000 training "
        "pictures",
        protocol=f"ring: {ring.steps} updates of {ring.batch} ({WIDE_STEPS} at σ = {WIDE:g}), modes of 2 % of {N} "
        f"drafts or more; MNIST: 500 updates of 100, f 784-200-200-1, Fréchet in {features}; AUROC of {N} examples "
        "that were not trained on against as many of uniform noise",
        seeds=seeds,
        figures=figures,
        baselines={"AUROC of f, ring/the true density": truth},
        bars=bars,
    )


if __name__ == "__main__":
    main()
