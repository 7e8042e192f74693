"""(g) Time to equal quality: until the MNIST recipe's samples reach a stated Fréchet distance, naive loop and ours.

    ABSYNTH_DATA=... python benchmarks/time_to_quality.py --seeds 0 1 2

The level was stated before any run was timed: 140, what the paper's own setting reaches after the recipe's 900 updates
(results/latent_prior_mnist.json). Every way of training has the same networks, initial weights,
order of pictures and batch, and the same learning rates where its name does not say otherwise. The ways take turns of
25 updates in one process on one thread, and from the 100th update on all are evaluated alike after each turn, off the
clock: 5,000 samples by 60 steps of the paper's prior chain (δ = .4) from p_0, clamped, against the last 10,000 training
pictures, which no way trains on; features are the penultimate units of a classifier of the training split. A way has
arrived when the mean of its last three evaluations is at most the level.

A way differs from the one that it builds on by one thing. The naive loop at the learning rates of the quickest way
shows what those alone bring. Options were chosen on seeds 9 to 13, and are recorded on others.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shlex
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from common import naive
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.optim import Adam

import absynth
from absynth import recipes, results
from absynth.data import sets
from absynth.density import EBM
from absynth.metrics.features import Features, classifier_features
from absynth.metrics.frechet import frechet
from absynth.recipes.latent_prior.images import LatentPriorImages
from absynth.samplers import Adapted, Langevin, Preconditioned, engine
from absynth.samplers.preconditioned import width_of
from absynth.seeding import stream
from absynth.types import Batch, LogDensity, Sampler
from absynth.updates import EMA

LEVEL, TURN, FIRST, RECIPES, LONGEST, SAMPLES, LAST = 140.0, 25, 100, 900, 1500, 5000, 10_000
RECORDS = Path("results/bench")
NAIVE, INFERENCE = "naive loop", "K1 = 10 from an inference model"
NAIVE_RATES, RATES = "naive loop, six times the learning rates", "and six times the learning rates"
OURS = "and averaged weights"
FLOAT32, BF16 = "and fused Adam", "bf16 drift"
"""Both run to the recipe's 900 updates at least: what the rounded drift does to quality."""
PYTHON, CPP, TEN, PERSISTENT = "planned, Python alone", "chains in C++", "K1 = 10", "and persistent prior, K0 = 20"


@dataclass
class Way:
    """One way of training: its step, and what is to be evaluated."""

    step: Callable[[Batch, int], None]
    prior: EBM
    generator: nn.Module
    batches: Iterator[Batch]
    processor: float = 0.0
    updates: int = 0
    curve: list[float] = field(default_factory=list)
    average: Callable[[], None] = lambda: None
    """Puts averaged weights into the networks that are evaluated."""

    def turn(self) -> None:
        """TURN updates on the clock; reading their pictures is off it, and the same for all."""
        part = [next(self.batches) for _ in range(TURN)]
        processor = time.process_time()
        for batch in part:
            self.step(batch, self.updates)
            self.updates += 1
        self.average()
        self.processor += time.process_time() - processor

    @property
    def arrived(self) -> bool:
        """At the level, in the mean of the last three evaluations."""
        return len(self.curve) > 2 and statistics.fmean(self.curve[-3:]) <= LEVEL


def mnist(**fields: object) -> LatentPriorImages:
    """The latent prior of MNIST."""
    found = recipes.build("latent_prior", "mnist", **fields)
    assert isinstance(found, LatentPriorImages)
    return found


def naive_way(recipe: LatentPriorImages) -> Way:
    """The loop of the paper's listing, corrected, with torch's own Adam."""
    torch.manual_seed(recipe.seed)
    algorithm = recipe.algorithm()
    f, g = algorithm.prior.f, algorithm.generator.net  # type: ignore[attr-defined]
    optimizers = (
        Adam(f.parameters(), recipe.energy_lr, (recipe.beta1, 0.999)),
        Adam(g.parameters(), recipe.generator_lr, (recipe.beta1, 0.999)),
    )
    steps = {"prior_steps": recipe.prior_steps, "posterior_steps": recipe.posterior_steps}

    def step(batch: Batch, k: int) -> None:
        naive.iteration(f, g, optimizers, batch.x, **steps)

    return Way(step, algorithm.prior, algorithm.generator, recipe.batches())  # type: ignore[arg-type]


Refresh = Callable[[LogDensity, Tensor, torch.Generator], Sampler]
"""A posterior sampler made for the density and the states at hand."""


def our_way(recipe: LatentPriorImages, *, adam: bool = False, refresh: Refresh | None = None, **options: object) -> Way:
    """The algorithm on the planned engine.

    Args:
        recipe: the experiment.
        adam: torch's own Adam in place of the fused one.
        refresh: renews the posterior's sampler every 25 updates.
        options: of the engine.
    """
    torch.manual_seed(recipe.seed)
    algorithm = recipe.algorithm().train()
    optimizers = recipe.optimizers(algorithm)
    if adam:
        rates = {"prior": recipe.energy_lr, "generator": recipe.generator_lr}
        betas = (recipe.beta1, 0.999)
        optimizers = {k: Adam(algorithm.get_submodule(k).parameters(), lr, betas) for k, lr in rates.items()}

    averages = EMA(algorithm, recipe.ema) if recipe.ema else None
    shown = copy.deepcopy(algorithm) if averages else algorithm

    def average() -> None:
        if averages:
            shown.load_state_dict(averages.average, strict=False)

    def step(batch: Batch, k: int) -> None:
        rng = stream(recipe.seed, 0, k)
        with engine.use("traced", **options):  # type: ignore[arg-type]
            if refresh is not None and k and k % TURN == 0:
                first, _ = algorithm.posterior_start.draw(batch.x, rng=rng, index=batch.index)
                algorithm.posterior_sampler = refresh(algorithm.posterior(batch.x), first, rng)
            absynth.update(algorithm, optimizers, batch, rng=rng)
        if averages:
            averages.update(algorithm, k)

    return Way(step, shown.prior, shown.generator, recipe.batches(), average=average)  # type: ignore[arg-type]


def ways(recipe: LatentPriorImages) -> dict[str, Callable[[], Way]]:
    """Every way by its name."""
    ten = replace(recipe, posterior_steps=10)
    last = replace(ten, posterior_start="last")
    guessed = replace(ten, posterior_start="inference", inference_width=100)
    rates = {"generator_lr": 6 * recipe.generator_lr, "energy_lr": 6 * recipe.energy_lr}
    quick = replace(guessed, **rates, inference_lr=2 * recipe.inference_lr)
    persistent = replace(guessed, prior_start="persistent", prior_steps=20)
    plain = Langevin(10, recipe.posterior_step_size)

    def scaled(log_density: LogDensity, z: Tensor, rng: torch.Generator) -> Sampler:
        width = width_of(log_density, z, rng=rng)
        return Preconditioned(plain, width / width.square().mean().sqrt())

    def adapted(log_density: LogDensity, z: Tensor, rng: torch.Generator) -> Sampler:
        return Adapted(plain, 60).frozen(log_density, z, rng=rng)[0]

    return {
        NAIVE: lambda: naive_way(recipe),
        PYTHON: lambda: our_way(recipe, adam=True, fused=False),
        CPP: lambda: our_way(recipe, adam=True),
        FLOAT32: lambda: our_way(recipe),
        BF16: lambda: our_way(recipe, drift="bf16"),
        TEN: lambda: our_way(ten),
        "K1 = 10 from the last z": lambda: our_way(last),
        INFERENCE: lambda: our_way(guessed),
        RATES: lambda: our_way(quick),
        OURS: lambda: our_way(replace(quick, ema=0.98)),
        NAIVE_RATES: lambda: naive_way(replace(recipe, **rates)),
        "and preconditioned": lambda: our_way(guessed, refresh=scaled),
        "and its step adapted": lambda: our_way(guessed, refresh=adapted),
        PERSISTENT: lambda: our_way(persistent),
        "the same, K1 = 5": lambda: our_way(replace(persistent, posterior_steps=5)),
    }


BASES = {
    PYTHON: NAIVE,
    CPP: PYTHON,
    FLOAT32: CPP,
    BF16: FLOAT32,
    TEN: FLOAT32,
    "K1 = 10 from the last z": TEN,
    INFERENCE: TEN,
    RATES: INFERENCE,
    OURS: RATES,
    NAIVE_RATES: NAIVE,
    "and preconditioned": INFERENCE,
    "and its step adapted": INFERENCE,
    PERSISTENT: INFERENCE,
    "the same, K1 = 5": PERSISTENT,
}
"""The way that each differs from by one thing: its time over the other's is what that thing brings."""


def evaluate(way: Way, features: Features, real: Tensor) -> float:
    """The Fréchet distance of samples drawn in the same way from every model."""
    with engine.use("traced"), torch.no_grad():
        prior = way.prior()
        z = prior.reference.sample(SAMPLES, stream(5))
        z = Langevin(60, 0.4)(prior.log_density, z, rng=stream(6))
        return frechet(features(way.generator(z).mode.clamp(-1, 1)), real)


def race(seed: int, names: list[str], features: Features, real: Tensor) -> dict[str, dict[str, float | list[float]]]:
    """All ways until each has arrived."""
    made = ways(mnist(seed=seed))
    running = {name: made[name]() for name in names}
    done: dict[str, dict[str, float | list[float]]] = {}
    while running:
        for name, way in list(running.items()):
            way.turn()
            if way.updates < FIRST:
                continue
            way.curve.append(evaluate(way, features, real))
            if name not in done and (way.arrived or way.updates >= LONGEST):
                done[name] = {"updates": way.updates, "processor": way.processor}
                print(f"seed {seed}: {name}: {way.updates} updates, {way.processor:.1f} s, {way.curve}", flush=True)
            if name in done and (name not in (FLOAT32, BF16) or way.updates >= RECIPES):
                done[name]["curve"] = way.curve
                del running[name]
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--ways",
        nargs="*",
        default=[NAIVE, NAIVE_RATES, INFERENCE, RATES, OURS],
        help="names of ways, or all; none: what ran",
    )
    parser.add_argument("--name", default="time_to_quality", help="of the record")
    parser.add_argument("--cache", type=Path, default=Path("runs/features"), help="folder of the classifier")
    parser.add_argument("--parts", type=Path, default=Path("runs/time_to_quality"), help="folder of each seed's races")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe, train = mnist(), sets.open("mnist")
    features = classifier_features(train.images, cache=options.cache)
    real = features(train.batch(torch.arange(len(train) - LAST, len(train))).x)
    names = list(ways(recipe)) if options.ways == ["all"] else options.ways
    for seed in options.seeds if names else []:
        file = options.parts / f"{seed}.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        load = os.getloadavg()[0]
        fresh = {name: found | {"load": load} for name, found in race(seed, names, features, real).items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known | fresh))
    keep(options, features)


def keep(options: argparse.Namespace, features: Features) -> None:
    """The table and the record, from all races so far."""
    found = {seed: json.loads((options.parts / f"{seed}.json").read_text()) for seed in options.seeds}
    names = [name for name in ways(mnist()) if all(name in race for race in found.values())]
    table = Table(
        "way", "updates", "processor s", "× naive", "× naive, six times the rates", "× the way that it builds on"
    )
    figures: dict[str, list[float]] = {}
    for name in names:
        for key, what in (("updates", "updates"), ("processor", "processor s")):
            figures[f"{what}: {name}"] = [race[name][key] for race in found.values()]
        ratios = []
        for base in (NAIVE, NAIVE_RATES, BASES.get(name, name)):
            if name == base or base not in names:
                ratios.append("")
                continue
            times = [race[base]["processor"] / race[name]["processor"] for race in found.values()]
            figures[f"{'naive' if base == NAIVE else base} over: {name}"] = times
            ratios.append(f"{statistics.fmean(times):.2f}")
        means = [statistics.fmean(figures[f"{what}: {name}"]) for what in ("updates", "processor s")]
        table.add_row(name, *(f"{mean:.1f}" for mean in means), *ratios)
    for name in (FLOAT32, BF16):
        if name in names and all(race[name]["curve"][(RECIPES - FIRST) // TURN :] for race in found.values()):
            at = (RECIPES - FIRST) // TURN
            figures[f"Fréchet after {RECIPES} updates: {name}"] = [
                statistics.fmean(race[name]["curve"][at - 2 : at + 1]) for race in found.values()
            ]
    loads = [race[names[0]]["load"] for race in found.values()]
    Console(width=110).print(table)
    results.record(
        RECORDS / f"{options.name}.json",
        command=f"python benchmarks/time_to_quality.py --seeds {' '.join(map(str, options.seeds))} "
        f"--ways {shlex.join(names)} --name {options.name}",
        data="MNIST: 20,000 training pictures; the last 10,000 of the training split to compare with",
        protocol=f"Processor time until the Fréchet distance in {features.name} is {LEVEL:g} in the mean of three "
        "evaluations 25 updates apart, 5,000 samples each by the paper's 60 steps; the same for every way; one thread; "
        f"a way that did not get there in {LONGEST} updates counts as if it had; "
        f"load before each race {', '.join(f'{load:.0f}' for load in loads)}",
        seeds=options.seeds,
        figures=figures,
        baselines={},
        bars={ours: {"at_least": 8.0, "why": "time to equal quality"}}
        if (ours := f"naive over: {OURS}") in figures
        else {},
    )


if __name__ == "__main__":
    main()
