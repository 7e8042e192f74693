"""A run that is opened for a task: its model, its recipe, its pictures, and where the answer goes.

Tasks ask for what a model can do, never for its class: a density of the data with a chain that draws from it, a latent
variable, pictures. A model that cannot is told so in one line.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from absynth import checkpoint
from absynth.algorithms import Algorithm, LatentPrior
from absynth.algorithms.generator_model import GeneratorModel
from absynth.data import folder
from absynth.data.images import Images, Split
from absynth.density import Density
from absynth.devices import choose_device
from absynth.errors import InputError
from absynth.recipes.recipe import Recipe
from absynth.report import TaskResult
from absynth.samplers import altered
from absynth.seeding import Streams
from absynth.tasks.levels import Origin, finest
from absynth.types import LogDensity, Reference, Rng, Sampler


@dataclass(frozen=True)
class Chain:
    """What draws from a model: a density, where chains on it begin, and the sampler that moves them."""

    density: Density
    origin: Reference | Origin
    sampler: Sampler
    decode: Callable[[Tensor], Tensor]
    """What a state of the chain is shown as: the generator's picture of z, or the state itself."""
    rounds: int = 1
    """Times the sampler runs for a fresh draw."""

    @property
    def steps(self) -> int:
        """Steps of one run of the sampler."""
        return getattr(self.sampler, "steps", 1)

    @property
    def temperature(self) -> float:
        """T that the sampler really samples at: the law of its chains is the density to the power of 1/T."""
        return getattr(self.sampler, "temperature", 1.0)

    def tempered(self, x: Tensor) -> Tensor:
        """The log density that is really sampled, log p / T, up to a constant."""
        if not self.temperature:
            raise InputError(f"{self.sampler!r} ends without noise and samples no density: choose another run")
        return self.density.log_density(x) / self.temperature

    def run(self, log_density: LogDensity, x: Tensor, *, rng: Rng) -> Tensor:
        """The sampler on any log density, as many rounds as for a fresh draw."""
        for _ in range(self.rounds):
            x = self.sampler(log_density, x, rng=rng)
        return x


@runtime_checkable
class InfersLatent(Protocol):
    """A model that infers z of an example and generates the example back: any generator with a posterior."""

    @property
    def generator(self) -> Any: ...

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor: ...

    def sample_posterior(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor: ...

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Opened:
    """A trained run."""

    path: Path
    model: Algorithm
    recipe: Recipe
    device: torch.device

    def latent(self) -> LatentPrior:
        """The model, where it has a latent variable to infer."""
        if not isinstance(self.model, LatentPrior):
            raise InputError(f"this task needs a model with a latent variable, {self.path} is {self.recipe.name()}")
        return self.model

    def infers(self) -> InfersLatent:
        """The model, where it infers z of an example, whatever law z has and whatever infers it."""
        m = self.model
        if not isinstance(m, InfersLatent):
            raise InputError(f"this task needs a model with a latent variable, {self.path} is {self.recipe.name()}")
        if isinstance(m, GeneratorModel):
            if self.recipe.conditions(1) is not None:
                raise InputError(
                    f"this task needs a model without a condition, {self.path} is {self.recipe.name()}: use sample"
                )
            if m.inference is None and m.posterior_sampler is None:
                raise InputError(
                    f"this task infers z by a network or a chain, {self.path} is {self.recipe.name()} and learned with "
                    "neither: train with --teaching full, or look at revise"
                )
        return m

    @property
    def is_latent(self) -> bool:
        """Whether the model's density is one of a latent variable."""
        return all(hasattr(self.model, part) for part in ("prior", "generator", "posterior_sampler"))

    @property
    def sampler_name(self) -> str | None:
        """The attribute that holds the one sampler that ``sample`` runs; None where there are several."""
        return next((name for name in ("prior_sampler", "sampler") if hasattr(self.model, name)), None)

    def chain(self, steps: int = 0) -> Chain:
        """The chain that draws from the model, in latent space or among the data.

        Of a model of several levels, the chain on the density of the finest, from where the coarser ones end.

        Args:
            steps: its length; 0 is as in the run.

        Raises:
            InputError: the model draws in another way.
        """
        m: Any = self.model
        if self.is_latent:
            prior = m.prior()
            found = Chain(prior, prior.reference, m.prior_sampler, m.decode)
        elif all(hasattr(m, part) for part in ("ebm", "sampler", "origin")):
            if self.recipe.conditions(1) is not None:
                raise InputError(
                    f"this task needs a density without a condition, {self.path} is {self.recipe.name()}: ask sample "
                    "or translate of it"
                )
            found = Chain(m.ebm(), m.origin, m.sampler, lambda x: x, getattr(m, "sample_rounds", 1))
        elif levels := finest(m):
            found = Chain(*levels, lambda x: x)
        else:
            raise InputError(
                f"this task needs a model with one density and one chain on it, {self.path} is {self.recipe.name()}"
            )
        return replace(found, sampler=lengthened(found.sampler, steps), rounds=1) if steps else found

    def data_chain(self, steps: int = 0) -> Chain:
        """:meth:`chain`, where the density is one of the data themselves."""
        if self.is_latent:
            raise InputError(f"this task needs a density of the data, {self.path} is {self.recipe.name()}: z has one")
        return self.chain(steps)

    def posterior_sampler(self, steps: int = 0) -> Sampler:
        """The sampler of z given a picture, its chain of another length if wanted."""
        sampler = self.latent().posterior_sampler
        return lengthened(sampler, steps) if steps else sampler

    def images(self, split: Split) -> Images:
        """The pictures that the recipe trained on (train) or never saw (test)."""
        read: Callable[[Split], Images] | None = getattr(self.recipe, "images", None)
        if read is None:
            raise InputError(f"this task needs pictures, {self.path} is {self.recipe.name()}: train an image recipe")
        return read(split)

    def pictures(self, images: str) -> Images:
        """A user's own pictures at ``images``, of the run's size; else the recipe's test split."""
        if not images:
            return self.images("test")
        mine = self.images("test")
        theirs = folder.images(Path(images), "all", size=mine.x.shape[-1])
        if theirs.x.shape[1:] != mine.x.shape[1:]:
            want, got = tuple(mine.x.shape[1:]), tuple(theirs.x.shape[1:])
            raise InputError(f"pictures must be {want} (channels, height, width) as in training, got {got}")
        return replace(theirs, low=mine.low, high=mine.high)  # the trained model's scale, not the new file's range

    def folder(self, task: str) -> Path:
        """Where a task's pictures and numbers go; made if need be."""
        path = self.path / task
        path.mkdir(exist_ok=True)
        return path


def open_run(run: str | Path, device: str = "auto") -> Opened:
    """Load a run for a task.

    Args:
        run: its directory.
        device: ``auto``, ``cpu``, ``cuda`` ...
    """
    where = choose_device(device)
    model = checkpoint.load(run, device=where)
    recipe = model.recipe
    assert isinstance(recipe, Recipe)
    return Opened(Path(run), model, recipe, where)


def result(task: str, title: str, seed: int, text: str) -> TaskResult:
    """A result that remembers the command that was typed."""
    words = ["absynth", *sys.argv[1:]] if Path(sys.argv[0]).name.startswith("absynth") else ["absynth", task, "RUN"]
    return TaskResult(task=task, title=title, command=shlex.join(words), seed=seed, text=text)


def lengthened(sampler: Sampler, steps: int) -> Sampler:
    """The sampler with chains of another length."""
    if not hasattr(sampler, "steps"):
        raise InputError(f"--steps sets the length of a chain, and {sampler!r} has none: leave it out")
    return altered(sampler, steps=steps)


def row_streams(seed: int, rows: range, draw: int = 0, *, device: torch.device | str) -> Streams:
    """A stream for each row's ``draw``-th answer: it follows from (seed, row, draw), whatever else is asked at once."""
    return Streams(seed, [(draw << 32) + row for row in rows], device=device)


def in_chunks(x: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    """``(offset, rows)`` of at most ``size`` rows."""
    for start in range(0, len(x), size):
        yield start, x[start : start + size]
