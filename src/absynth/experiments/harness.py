"""What experiments share: their declaration, the loop over seeds, saving after each seed, the record.

::

    @experiment(
        data="MNIST: 20,000 training images, 10,000 test images",
        protocol="900 updates; Fréchet distance of 5,000 samples to the test split",
        seeds=(0, 1, 2), minutes=12, bars={"Fréchet distance": at_most(150, "half of the Gaussian prior's")},
    )
    def measure(seed: int, run: Run) -> Figures:
        model = run.fit("latent_prior", "mnist")
        return Figures({"Fréchet distance": ...}, {"Fréchet distance/Gaussian prior": ...})
"""

from __future__ import annotations

import difflib
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from absynth import recipes, results
from absynth.errors import InputError
from absynth.files import write_json
from absynth.metrics.features import Features
from absynth.recipes import Recipe
from absynth.tasks.evaluate import feature_space
from absynth.tasks.opened import Opened, open_run
from absynth.training import fit


@dataclass(frozen=True)
class Figures:
    """What one seed measured.

    Attributes:
        values: Figure -> value.
        baselines: ``FIGURE/METHOD`` -> value of a baseline for that figure.
    """

    values: Mapping[str, int | float]
    baselines: Mapping[str, int | float] = field(default_factory=dict)


@dataclass
class Run:
    """What a measurement gets: where to train, and whether to be tiny.

    Attributes:
        seed: The seed of this measurement.
        folder: Folder for the runs of this seed.
        tiny: Whether to train for a few updates only, to see that everything works.
        images: Folder for images that a page shows.
        features: Folder where feature networks are kept, the same for all experiments.
        recipes: Recipes trained so far, by label: they go into the record.
    """

    seed: int
    folder: Path
    tiny: bool
    images: Path
    features: Path
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def few(self, full: int, tiny: int = 40) -> int:
        """A count that is small in tiny runs."""
        return min(full, tiny) if self.tiny else full

    def recipe(self, method: str, data: Any, *, preset: str = "", label: str = "", **fields: Any) -> Recipe:
        """The recipe of a method with this run's seed; see :func:`absynth.recipes.build`."""
        if self.tiny:  # a full experiment's counts do not apply
            fields = {k: v for k, v in fields.items() if k not in recipes.Recipe.TINY}
        made = recipes.build(method, data, preset=preset, tiny=self.tiny, **{"seed": self.seed, **fields})
        given = {k: v for k, v in fields.items() if k != "seed"}
        numbers = {k: v for k, v in made.fields().items() if k not in ("seed", "data")}
        self.recipes[label or method] = {
            "method": method, "data": data if isinstance(data, str) else made.examples.name, "preset": preset,
            "given": given, "fields": numbers,
        }  # fmt: skip
        return made

    def fit(self, method: str, data: Any, *, preset: str = "", label: str = "", **fields: Any) -> Opened:
        """Train a method, or resume or reopen the run that is there, and open it for tasks.

        Args:
            method: Name of the method.
            data: Data set.
            preset: Preset of the method.
            label: Name of the run within the experiment. Defaults to the method.
            fields: Field values.
        """
        made = self.recipe(method, data, preset=preset, label=label, **fields)
        return self.train(made, label or method)

    def features_of(self, opened: Opened, *, seed: int = 0) -> Features:
        """The feature space of a run on images, a classifier's by its seed; of a few images in tiny runs."""
        images: Any = opened.unlimited().images  # type: ignore[attr-defined]
        if self.tiny:
            labels = None if images.labels is None else images.labels[:400]
            images = replace(images, x=images.x[:400], labels=labels, name=f"{images.name}_tiny")
        return feature_space(images, self.features, seed=seed)

    def train(self, recipe: Recipe, label: str) -> Opened:
        """Train a recipe and open the run for tasks."""
        where = self.folder / label.replace(" ", "_").replace("/", "_")
        fit(recipe, where)
        return replace(open_run(where, "cpu"), recipe=recipe)  # on the open data set, which may be in memory


def at_most(limit: int | float, why: str) -> dict[str, Any]:
    """A bar: the mean over seeds is at most ``limit``."""
    return {"at_most": limit, "why": why}


def at_least(limit: int | float, why: str) -> dict[str, Any]:
    """A bar: the mean over seeds is at least ``limit``."""
    return {"at_least": limit, "why": why}


@dataclass(frozen=True)
class Experiment:
    """A measurement with everything that its record needs."""

    name: str
    measure: Callable[[int, Run], Figures]
    data: str
    protocol: str
    seeds: tuple[int, ...]
    minutes: int | float
    bars: Mapping[str, Mapping[str, Any]]
    title: str


def experiment(
    *,
    data: str,
    protocol: str,
    seeds: Sequence[int] = (0, 1, 2),
    minutes: int | float,
    bars: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[Callable[[int, Run], Figures]], Experiment]:
    """Declare an experiment; its name is the name of its module.

    Args:
        data: Which data, and which part of them.
        protocol: How the figures are measured, in a sentence or two.
        seeds: Seeds of the record.
        minutes: Expected minutes per seed on one CPU core.
        bars: By figure, :func:`at_most` or :func:`at_least`, which the mean over seeds must meet.
    """

    def declare(measure: Callable[[int, Run], Figures]) -> Experiment:
        module = importlib.import_module(measure.__module__)
        title = (module.__doc__ or measure.__name__).splitlines()[0]
        name = measure.__module__.rpartition(".")[2]
        return Experiment(name, measure, data, protocol, tuple(seeds), minutes, dict(bars or {}), title)

    return declare


def names() -> list[str]:
    """Names of the experiments."""
    import absynth.experiments as package

    found = (m.name for m in pkgutil.iter_modules(package.__path__))
    return sorted(n for n in found if n != "harness" and not n.startswith("_"))


def find(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        InputError: There is none; the message names the nearest.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.3)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InputError(f"expected an experiment, got {name!r}{hint}: absynth reproduce lists them")
    module = importlib.import_module(f"absynth.experiments.{name}")
    found = next((v for v in vars(module).values() if isinstance(v, Experiment)), None)
    if found is None:
        raise InputError(f"{module.__file__} must hold one function declared by @experiment, got none")
    return found


def table() -> Table:
    """Every experiment with its cost and its recorded headline figure."""
    records = results.load_all(results.records_folder())
    out = Table(
        "experiment", "what it measures", "min/seed", "recorded", title="absynth reproduce NAME", title_justify="left"
    )
    for name in names():
        found = find(name)
        out.add_row(name, found.title, f"{found.minutes:g}", results.headline(records, name))
    return out


def reproduce(
    name: str,
    *,
    seeds: Sequence[int] = (),
    tiny: bool = False,
    runs: Path = Path("runs/experiments"),
    out: Path | None = None,
) -> results.Result | None:
    """Run an experiment for each seed and record its figures; finished seeds are kept if it is stopped.

    Args:
        name: Name of the experiment.
        seeds: Seeds. Defaults to those of the record.
        tiny: Train for a few updates only, to see that everything works; records nothing.
        runs: Folder of the runs.
        out: Folder of the record. Defaults to the project's ``results/``.

    Returns:
        The record, or None if ``tiny``.
    """
    found = find(name)
    seeds = list(seeds) or ([0] if tiny else list(found.seeds))
    folder = Path(runs) / (f"{name}_tiny" if tiny else name)
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        kept = folder / f"seed_{seed}" / "figures.json"
        if kept.exists() and not tiny:
            row = json.loads(kept.read_text())
        else:
            run = Run(seed, folder / f"seed_{seed}", tiny, folder / "images", Path(runs) / "features")
            run.folder.mkdir(parents=True, exist_ok=True)
            run.images.mkdir(parents=True, exist_ok=True)
            measured = found.measure(seed, run)
            row = {"values": dict(measured.values), "baselines": dict(measured.baselines), "recipes": run.recipes}
            write_json(kept, row)
        rows.append(row)
        shown = ", ".join(f"{k} {results.number(v)}" for k, v in row["values"].items())
        print(f"{name}, seed {seed}: {shown}", flush=True)
    if tiny:
        return None
    return results.record(
        (out or results.records_folder()) / f"{name}.json",
        command=f"absynth reproduce {name} --seeds {' '.join(map(str, seeds))}",
        data=found.data,
        protocol=found.protocol,
        seeds=seeds,
        figures={k: [row["values"][k] for row in rows] for k in rows[0]["values"]},
        baselines={
            k: [row["baselines"][k] for row in rows if k in row["baselines"]]
            for k in dict.fromkeys(k for row in rows for k in row["baselines"])
        },
        bars={k: v for k, v in found.bars.items() if k in rows[0]["values"]},
        recipes=rows[0]["recipes"],
    )
