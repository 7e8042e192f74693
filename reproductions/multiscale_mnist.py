"""MNIST at 28×28, equal gradient evaluations: one resolution, coarse to fine, multi-grid, diffusion recovery.

``python reproductions/multiscale_mnist.py --seeds 0 1``; ``--budget`` is the gradient evaluations of a training, in
batches of 64 through the single-resolution f. An evaluation at another resolution, or of another network, counts by its
multiplications. The parameters' own gradients (one an update) and sampling afterwards are not counted.

The Fréchet distance is in the features of a classifier trained on the training split. ``--continued 20`` also runs
diffusion recovery's chains 20 times as long.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from absynth import fit, pictures, stream
from absynth.algorithms import Algorithm
from absynth.metrics.features import classifier_features
from absynth.metrics.frechet import frechet
from absynth.recipes.coarse_to_fine_mnist import CoarseToFineMNIST
from absynth.recipes.diffusion_recovery_mnist import DiffusionRecoveryMNIST
from absynth.recipes.multigrid_mnist import MultiGridMNIST
from absynth.recipes.recipe import Recipe
from absynth.recipes.short_run_mnist import ShortRunMNIST
from absynth.results import record
from absynth.samplers import engine
from absynth.tasks.evaluate import gaussian_pixels

ONE = "single-resolution short run"


def multiplications(f: Callable[..., Tensor], *inputs: Tensor) -> int:
    """Of convolutions and linear layers in one evaluation on one example."""
    total = 0

    def count(module: nn.Module, given: object, out: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += module.weight.numel() * out.shape[-1] * out.shape[-2]
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()

    handle = nn.modules.module.register_module_forward_hook(count)
    with torch.no_grad():
        f(*inputs)
    handle.remove()
    return total


def cost_of_update(recipe: Recipe, one: int) -> float:
    """Gradient evaluations of an update, in those of the single-resolution f; a mean over coarse-to-fine's stages."""
    model = recipe.algorithm()
    image = {size: torch.zeros(1, 1, size, size) for size in (7, 14, 28)}
    if isinstance(recipe, DiffusionRecoveryMNIST):
        level = torch.zeros(1, dtype=torch.long)
        return recipe.chain_steps * multiplications(model.get_submodule("ebm.f"), image[28], level) / one
    if isinstance(recipe, MultiGridMNIST):
        nets = [model.get_submodule(f"ebm_{s}.f") for s in range(3)]
        costs = [multiplications(net, image[size]) for net, size in zip(nets, recipe.sizes)]
        return recipe.chain_steps * sum(costs) / one
    if isinstance(recipe, CoarseToFineMNIST):
        costs = [multiplications(model.get_submodule("ebm.f"), image[size]) for size in recipe.sizes]
        early = (1 - recipe.last_share) / 2
        shares = (1, 1 - early, recipe.last_share)  # of the updates, those whose chains pass through each stage
        return recipe.chain_steps * sum(c * share for c, share in zip(costs, shares)) / one
    assert isinstance(recipe, ShortRunMNIST)
    return float(recipe.chain_steps)


def drawn(model: Algorithm, n: int, seed: int) -> Tensor:
    """n samples, clamped to [−1, 1]."""
    with engine.use("planned"):
        parts = [model.sample(250, rng=stream(seed, 0, part, 3)) for part in range(n // 250)]
    return torch.cat(parts).clamp(-1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--budget", type=int, default=9000)
    parser.add_argument(
        "--width", type=int, default=16, help="maps of the finest network's first layer, of all methods"
    )
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--continued", type=int, default=20)
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--pictures", type=Path, default=None, help="folder for a sheet of samples of each model")
    folder = Path(__file__).parent.parent / "results"
    parser.add_argument("--out", type=Path, default=folder / "multiscale_mnist.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    budget, n = arguments.budget, arguments.samples

    recipes = {
        ONE: ShortRunMNIST(width=arguments.width, stem=1, lr=3e-4, decay=0.5, ema=0.0),
        "multi-grid": MultiGridMNIST(width=arguments.width),
        "coarse to fine": CoarseToFineMNIST(width=arguments.width),
        "diffusion recovery": DiffusionRecoveryMNIST(width=arguments.width),
    }
    recipes = {name: recipe.resolve() for name, recipe in recipes.items()}
    one = multiplications(recipes[ONE].algorithm().get_submodule("ebm.f"), torch.zeros(1, 1, 28, 28))
    costs = {name: cost_of_update(recipe, one) for name, recipe in recipes.items()}
    train, test = ShortRunMNIST().read("train"), ShortRunMNIST().read("test")
    features = classifier_features(train, cache=arguments.cache)
    real = features(test.all())
    some = torch.randperm(len(train), generator=stream(0, 0, 0, 4))[:n]
    floor = {
        "training pictures": [frechet(features(train.batch(some)), real)],
        "Gaussian of the pixels": [frechet(features(gaussian_pixels(train, n, seed=0)), real)],
    }
    print(f"{one} multiplications, updates cost {costs}, {floor}", flush=True)
    distances: dict[str, list[float]] = {name: [] for name in recipes}
    seconds: dict[str, list[float]] = {name: [] for name in recipes}
    stable: dict[str, list[float]] = {"at K": [], "continued": []}
    for seed in arguments.seeds:
        for name, recipe in recipes.items():
            begun = time.process_time()
            with tempfile.TemporaryDirectory() as run:
                model = fit(
                    replace(recipe, seed=seed, steps=round(budget / costs[name])), Path(run) / "run", chains="planned"
                )
            seconds[name].append(time.process_time() - begun)
            x = drawn(model, n, seed)
            distances[name].append(frechet(features(x), real))
            print(f"seed {seed}, {name}: {distances[name][-1]:.1f} ({seconds[name][-1]:.0f} CPU-s)", flush=True)
            if arguments.pictures:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
                pictures.grid(x[:100], arguments.pictures / f"{name.replace(' ', '_')}_{seed}.png", columns=20)
            if name == "diffusion recovery" and arguments.continued:
                few = 250
                model.sampler = replace(model.sampler, steps=arguments.continued * model.sampler.steps)  # type: ignore[type-var]
                long = drawn(model, few, seed)
                stable["at K"].append(frechet(features(x[:few]), real))
                stable["continued"].append(frechet(features(long), real))
                print(f"  {few} chains: {stable['at K'][-1]:.1f}, continued {stable['continued'][-1]:.1f}", flush=True)
                if arguments.pictures:
                    pictures.grid(long[:100], arguments.pictures / f"continued_{seed}.png", columns=20)
        write(
            arguments,
            arguments.seeds[: len(distances[ONE])],
            costs,
            one,
            features.name,
            distances,
            seconds,
            stable,
            floor,
        )


def write(
    arguments: argparse.Namespace,
    seeds: list[int],
    costs: dict[str, float],
    one: int,
    space: str,
    distances: dict[str, list[float]],
    seconds: dict[str, list[float]],
    stable: dict[str, list[float]],
    floor: dict[str, list[float]],
) -> None:
    """Record what is known after a seed, so that a run that is cut short leaves its whole seeds."""
    budget, n = arguments.budget, arguments.samples
    figures = {f"FD, {name}": values for name, values in distances.items()}
    figures |= {f"CPU seconds, {name}": values for name, values in seconds.items()}
    baselines = {f"FD, {name}/{ONE}": distances[ONE] for name in distances if name != ONE}
    baselines |= {f"FD, {ONE}/{name}": values for name, values in floor.items()}
    if arguments.continued:
        figures["FD of 250, diffusion recovery continued"] = stable["continued"]
        baselines["FD of 250, diffusion recovery continued/at K"] = stable["at K"]
    bars: dict[str, dict[str, object]] = {
        f"FD, {name}": {"at_most": sum(distances[ONE]) / len(seeds), "why": f"below {ONE}"}
        for name in distances
        if name != ONE
    }
    if arguments.continued:
        limit = 1.5 * sum(stable["at K"]) / len(seeds)
        bars["FD of 250, diffusion recovery continued"] = {"at_most": limit, "why": "continued chains keep their law"}
    steps = ", ".join(f"{name} {round(budget / cost)} updates of {cost:.1f}" for name, cost in costs.items())
    record(
        arguments.out,
        command=f"python reproductions/multiscale_mnist.py --budget {budget} --width {arguments.width} --samples {n} "
        "--seeds " + " ".join(map(str, seeds)),
        data="MNIST 28×28: 60,000 training pictures, 10,000 test pictures",
        protocol=f"{budget} gradient evaluations a training, in batches of 64 through the single-resolution f ({one} "
        f"multiplications a picture), others by their multiplications: {steps}. Fréchet distance of {n} samples "
        f"against the test split in the features {space} (lower is better); diffusion recovery's chains continued "
        f"{arguments.continued} times at every level, 250 of them",
        seeds=seeds,
        figures=figures,
        baselines=baselines,
        bars=bars,
    )


if __name__ == "__main__":
    main()
