"""MNIST at 28×28, equal gradient evaluations: one resolution, coarse to fine, multi-grid, diffusion recovery.

The budget counts gradient evaluations of a training, in batches of 64 through the single-resolution f. An evaluation at
another resolution, or of another network, counts by its multiplications. The parameters' own gradients (one an update)
and sampling afterwards are not counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from absynth import pictures
from absynth.algorithms import Algorithm
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.seeding import stream
from absynth.tasks.evaluate import gaussian_samples

BUDGET, WIDTH, SAMPLES, FEW, LONGER = 45_000, 16, 5000, 250, 20
ONE = "single-resolution short run"
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    ONE: ("maximum_likelihood", "", {"stem": 1, "energy_lr": 3e-4, "final_share": 0.5, "ema": 0.0}),
    "multi-grid": ("multigrid", "", {}),
    "coarse to fine": ("coarse_to_fine", "", {}),
    "diffusion recovery": ("diffusion_recovery", "", {}),
}


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


def cost_of_update(name: str, recipe: Any, one: int) -> float:
    """Gradient evaluations of an update, in those of the single-resolution f; a mean over coarse-to-fine's stages."""
    model = recipe.algorithm()
    image = {size: torch.zeros(1, 1, size, size) for size in (7, 14, 28)}
    if name == "diffusion recovery":
        level = torch.zeros(1, dtype=torch.long)
        return recipe.chain_steps * multiplications(model.get_submodule("ebm.f"), image[28], level) / one
    if name == "multi-grid":
        nets = [model.get_submodule(f"ebms.{s}.f") for s in range(3)]
        costs = [multiplications(net, image[size]) for net, size in zip(nets, recipe.sizes, strict=True)]
        return recipe.chain_steps * sum(costs) / one
    if name == "coarse to fine":
        costs = [multiplications(model.get_submodule("ebm.f"), image[size]) for size in recipe.sizes]
        early = (1 - recipe.last_share) / 2
        shares = (1, 1 - early, recipe.last_share)  # of the updates, those whose chains pass through each stage
        return recipe.chain_steps * sum(c * share for c, share in zip(costs, shares, strict=True)) / one
    return float(recipe.chain_steps)


def drawn(model: Algorithm, n: int, seed: int) -> Tensor:
    """n samples, clamped to [−1, 1]."""
    sizes = [min(FEW, n - first) for first in range(0, n, FEW)]
    parts = [model.sample(size, rng=stream(seed, 0, part, 3)) for part, size in enumerate(sizes)]
    return torch.cat(parts).clamp(-1, 1)


@experiment(
    data="MNIST 28×28: 60,000 training images, 10,000 test images",
    protocol=f"{BUDGET} gradient evaluations a training, in batches of 64 through the single-resolution f, others by "
    f"their multiplications. Fréchet distance of {SAMPLES} samples against the test split in a classifier's features; "
    f"diffusion recovery's chains continued {LONGER} times at every level, {FEW} of them",
    seeds=(0, 1),
    minutes=16,
    bars={f"FD over the Gaussian's, {name}": at_most(1, "below a Gaussian of the pixels") for name in METHODS},
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    n = run.few(SAMPLES, 80)
    one, features, real, gaussian = 0, None, torch.empty(0), math.nan
    for name, (method, preset, own) in METHODS.items():
        made: Any = run.recipe(method, "mnist", preset=preset, label=name, energy_width=WIDTH, **own)
        if name == ONE:
            one = multiplications(made.algorithm().get_submodule("ebm.f"), torch.zeros(1, 1, 28, 28))
        steps = made.steps if run.tiny else round(BUDGET / cost_of_update(name, made, one))
        begun = time.process_time()
        opened = run.train(replace(made, steps=steps), name)
        values[f"CPU seconds, {name}"] = time.process_time() - begun
        if features is None:
            images: Any = opened.dataset
            features = run.features_of(opened)
            real = features(images.split("test").head(run.few(10_000, 100)))
            some = torch.randperm(images.examples, generator=stream(0, 0, 0, 4))[:n]
            baselines[f"FD, {ONE}/training pictures"] = frechet(features(images.batch(some).x), real)
            gaussian = frechet(features(gaussian_samples(images, n, seed=0).clamp(-1, 1)), real)
            baselines[f"FD, {ONE}/Gaussian of the pixels"] = gaussian
        x = drawn(opened.model, n, seed)
        values[f"FD, {name}"] = frechet(features(x), real)
        values[f"FD over the Gaussian's, {name}"] = values[f"FD, {name}"] / gaussian
        if name != ONE:
            baselines[f"FD, {name}/{ONE}"] = values[f"FD, {ONE}"]
        pictures.grid(x[:100], run.images / f"multiscale_{name.replace(' ', '_')}_{seed}.png", columns=20)
        if name == "diffusion recovery":
            few = min(FEW, n)
            baselines["FD of 250, diffusion recovery continued/at K"] = frechet(features(x[:few]), real)
            opened.model.set_chain_steps(LONGER * opened.model.chain_steps())
            longer = frechet(features(drawn(opened.model, few, seed)), real)
            values["FD of 250, diffusion recovery continued"] = longer
    return Figures(values, baselines)
