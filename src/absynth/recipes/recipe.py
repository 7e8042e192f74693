"""A recipe: one training method with its numbers, as a frozen dataclass, on a data set.

The fields are the flags of the command line and the docstring under each field is its help text. A recipe builds the
networks, the optimizers and the minibatches; :func:`absynth.fit` does the rest.
"""

from __future__ import annotations

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from absynth.algorithms import Algorithm
from absynth.data.dataset import Dataset
from absynth.errors import InputError, Unsupported
from absynth.recipes.bounds import Count, Decay, Natural, Positive, check_bounds
from absynth.selection import Figure, HeldOut
from absynth.types import Batch

OPTIONS = frozenset(
    {
        "size", "channels", "limit", "target", "targets", "unit", "vocabulary_size", "length", "tokens", "past",
        "future", "scene", "mirror", "skip_broken", "missing_value", "validation", "anomaly", "column", "side", "piece",
        "whole", "frames", "pose", "agents", "neighbours", "points",
    }
)  # fmt: skip
"""Fields that are options of the reader of the data; a recipe has those that its kinds of data take."""


EMPTY = (0, "", (), None, -1)  # values of an option that leave the choice to the reader


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """What every recipe has."""

    data: str = ""
    """Data set: the name of a published set, or a path to your folder or file."""
    kind: str = ""
    """Kind of data, where it cannot be found from the data: image, table, text, smiles, tracks ..."""
    preset: str = ""
    """Preset that the numbers were taken from. Defaults to the data set's own, else that of the nearest size."""
    dataset: Dataset | None = dataclasses.field(default=None, repr=False, compare=False)
    """The open data set (not a flag)."""
    limit: Natural = 0
    """Number of training examples to use; 0 uses all."""
    validation: Decay = 0.0
    """Share of the training examples set aside for validation; 0 uses the data's own validation split, if any."""
    validation_data: str = ""
    """Validation examples of your own: a file or folder of the same kind, in place of the data's validation split."""
    select_by: Figure = ""
    """Held-out figure, measured at each checkpoint, that chooses the saved weights; empty saves the last ones.
    samples: kernel discrepancy of samples. labels: log loss of the class. loss: the method's own, where it falls."""
    patience: Natural = 0
    """Checkpoints without a better held-out figure after which training stops; 0 never stops early."""
    skip_broken: bool = False
    """Leave out files and lines that cannot be read, count and list them, instead of stopping."""
    missing_value: str = ""
    """Marks of missing values in a table, such as "NA,?" or "empty"; rows that have one are left out."""
    seed: Natural = 0
    """Seed of the initial weights, the order of the data and all noise."""
    steps: Count = 1000
    """Number of parameter updates."""
    batch: Count = 100
    """Examples per update, over all micro-batches."""
    shards: Count = 1
    """Micro-batches per update, each with its own noise; a multiple of the number of processes under torchrun."""
    ema: Decay = 0.0
    """Decay of the averaged weights that are saved for use, smaller in the first updates; 0 saves the last weights."""
    threads: Natural = 0
    """Number of CPU threads; 0 leaves torch's choice. Small networks are fastest on 1, above all on a busy machine."""
    log_every: Count = 10
    """Updates between lines of metrics.jsonl."""
    checkpoint_every: Count = 500
    """Updates between checkpoints."""
    keep: Count = 3
    """Number of checkpoints to keep; the guard needs at least 2 to return past a bad one."""
    guard_retries: Natural = 8
    """Roll-backs before training stops with a diagnosis; 0 turns the guard off."""
    guard_step_size: Positive = 0.5
    """Factor on a sampler's step size after a roll-back; 1 leaves step sizes alone."""
    guard_learning_rate: Positive = 0.5
    """Factor on a player's learning rate after a roll-back; 1 leaves learning rates alone."""
    guard_difference: Positive = 10.0
    """An energy difference f(pos) − f(neg) below this never counts as divergence, in nats."""
    guard_stability: Positive = 2.5
    """Largest δ²λ of a chain that an EBM learns from: 2 doubles the sampled variance, 4 is unstable."""

    kinds: ClassVar[tuple[str, ...]] = ()
    """Kinds of data that this recipe takes."""
    resumable: ClassVar[frozenset[str]] = frozenset(
        {"data", "steps", "log_every", "checkpoint_every", "keep", "patience"}
    )
    """Fields that may differ when a run is resumed."""
    TINY: ClassVar[Mapping[str, Any]] = {
        "steps": 4, "batch": 8, "log_every": 1, "checkpoint_every": 2, "limit": 64, "latent": 4, "embedding": 8,
        "energy_width": 8, "generator_width": 8, "inference_width": 8, "chain_steps": 3, "prior_steps": 3,
        "posterior_steps": 3,
    }  # fmt: skip
    """Field values of ``--tiny``, for the fields that a recipe has: a few updates of small networks, in seconds."""

    of_its_set: ClassVar[frozenset[str]] = frozenset()
    """Fields that a preset gives to its own data set alone; other data that take its numbers keep the default."""
    takes_sequences: ClassVar[bool] = False
    """Whether examples of toy sets are sequences of vectors, rather than vectors."""
    first_task: ClassVar[str] = "sample"
    """The command that a trained run suggests."""
    fused: ClassVar[bool | None] = None
    """Whether Adam is the fused implementation; None is torch's choice."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_bounds(type(self), field.name, getattr(self, field.name))

    @classmethod
    def name(cls) -> str:
        """How a run records this recipe: its method, or ``module:Class`` outside of absynth."""
        package = cls.__module__.removeprefix("absynth.recipes.")
        if package != cls.__module__:
            return package.partition(".")[0]
        return f"{cls.__module__}:{cls.__qualname__}"

    @classmethod
    def tiny_fields(cls, *, options: bool) -> dict[str, Any]:
        """The values of ``--tiny``: reader options, or all others."""
        known = {f.name for f in dataclasses.fields(cls)}
        return {k: v for k, v in cls.TINY.items() if k in known and (k in OPTIONS) == options}

    def tiny(self) -> Recipe:
        """The same recipe with the values of ``--tiny``; reader options are left alone once the data set is open."""
        from absynth.data import sets

        known = sets.options_of(self.data, self.kind) if self.data and self.dataset is None else ()
        options = {k: v for k, v in self.tiny_fields(options=True).items() if k in known}
        return replace(self, **options, **self.tiny_fields(options=False))

    def reader_options(self) -> dict[str, Any]:
        """Options of the reader of the data: those that were set, and defaults that are not empty."""
        from absynth.data import sets

        known = sets.options_of(self.data, self.kind) if self.data else sorted(OPTIONS)
        fields = {f.name: f.default for f in dataclasses.fields(self) if f.name in OPTIONS}
        values = {name: getattr(self, name) for name in fields}
        return {k: v for k, v in values.items() if v != fields[k] or (v not in EMPTY and k in known)}

    def resolve(self) -> Recipe:
        """This recipe with its data set open and every number that depends on the data filled in.

        A recipe that overrides this calls it first.

        Raises:
            InputError: There is no data, or the data do not fit the recipe.
        """
        from absynth.data import sets
        from absynth.metrics import molecules

        found = self
        if self.dataset is None:
            if not self.data:
                raise InputError("expected --data NAME, FOLDER or FILE, got none")
            found = replace(self, dataset=sets.open(self.data, kind=self.kind, **self.reader_options()))
        found.check_kind(found.examples.kind, found.examples.name)
        if found.examples.kind == "toy" and (len(found.shape) > 1) != found.takes_sequences:
            takes, got = ("sequences", "vectors") if found.takes_sequences else ("vectors", "sequences")
            size = "×".join(map(str, found.shape))
            raise Unsupported(
                f"{found.name()} takes toy sets of {takes}, got {found.examples.name}, of {got} of {size} numbers: "
                f"give {'circle_sequences' if found.takes_sequences else 'another set, or train cycle_sequences on it'}"
            )
        if found.validation_data and (found.validation or not found.select_by):
            wrong = "--validation, which sets others aside" if found.validation else "no figure to measure on them"
            raise InputError(f"--validation-data goes with --select-by samples or loss, got {wrong}")
        if found.select_by:
            HeldOut(found, torch.device("cpu"))  # refuses data without a validation split before training begins
        elif found.patience:
            raise InputError("--patience needs a held-out figure, got none: add --select-by samples, labels or loss")
        if found.examples.kind == "smiles":
            molecules.rdkit()  # every task on molecules needs it: say so before they are trained on
        return found

    def check_kind(self, kind: str, source: str = "") -> None:
        """Raise unless the recipe takes a kind of data.

        Args:
            kind: The kind.
            source: Name of the data, for the message.

        Raises:
            Unsupported: It does not.
        """
        if self.kinds and kind not in self.kinds:
            from absynth import recipes

            takes, method = " or ".join(self.kinds), self.name()
            there = kind in recipes.classes(method)
            do = f"make the recipe for them by absynth.recipe({method!r}, data)" if there else "give others"
            got = f"{kind} data ({source or 'in memory'})"
            raise Unsupported(f"expected {takes} data for this recipe of {method}, got {got}: {do}")

    @property
    def examples(self) -> Dataset:
        """The open data set.

        Raises:
            InputError: The recipe is not resolved.
        """
        if self.dataset is None:
            raise InputError("expected a recipe with an open data set, got one without: call recipe.resolve() first")
        return self.dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.examples.shape

    @property
    def classes(self) -> int:
        """Number of classes of the data; 0 without labels."""
        return len(self.examples.class_names)

    @abstractmethod
    def algorithm(self) -> Algorithm:
        """The networks and samplers, freshly initialized from torch's global generator, on the CPU."""

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        """One optimizer for each player that learns; a player without one stays as it is.

        By default Adam with the learning rate of the field ``PLAYER_lr`` (``energy_lr`` of an EBM, ``generator_lr`` of
        an inference network without its own) and, where the recipe has such fields, ``beta1``, ``beta2``,
        ``PLAYER_beta1`` and ``PLAYER_weight_decay``. Players without parameters or without a rate are left out.
        """
        known, found = self.fields(), {}
        for name, player in algorithm.named_children():
            field = "energy" if name in ("ebm", "prior") else name
            rate = known.get(f"{field}_lr", known.get("generator_lr") if name == "inference" else None)
            betas = (known.get(f"{field}_beta1", known.get("beta1", 0.9)), known.get("beta2", 0.999))
            parameters = list(player.parameters())
            if rate is not None and parameters:
                decay = known.get(f"{field}_weight_decay", 0.0)
                found[name] = Adam(parameters, rate, betas, weight_decay=decay, fused=self.fused)
        return found

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Minibatches from number ``start`` on, on the CPU; their order follows from (seed, epoch)."""
        return self.examples.batches(self.batch, seed=self.seed, start=start)

    def conditions(self, n: int) -> Tensor | None:
        """Default conditions to sample under, ``[n, ...]`` on the CPU: labels in turn, or conditions of the test split.

        None where the model has no condition.
        """
        return None

    def held_out(self, n: int) -> Tensor:
        """n examples of the test split, ``[n, *shape]``, or as many as there are."""
        return self.examples.split("test").head(n)

    def model_inputs(self, x: Tensor) -> Tensor:
        """Examples of the data set in the form that the model takes them, such as counts for rows of tokens."""
        return x

    def condition_of(self, x: Tensor) -> Tensor:
        """The condition that a source image of yours gives, for methods whose condition is an image."""
        return x

    def translation_source(self, direction: str) -> Dataset:
        """The data set that a direction of translation starts from: ``x_to_y``, or ``y_to_x`` of a second data set."""
        return self.examples

    def labelled_rows(self) -> Tensor:
        """Rows of the training split whose label training uses, int64 ``[k]``; all labelled ones unless overridden."""
        labels = self.examples.labels
        if labels is None:
            raise Unsupported(f"{self.examples.name} has no labels")
        return (labels >= 0).nonzero()[:, 0]

    def schedule(self, step: int) -> float:
        """Factor on every learning rate at a step."""
        return 1.0

    def rate(self, step: int, player: str) -> float:
        """Factor on the learning rate of one player at a step. Defaults to :meth:`schedule`.

        While it is 0 for some players and not for all, those rest: they are in evaluation mode and do not learn, and
        an algorithm in training mode may leave out their losses.
        """
        return self.schedule(step)

    def module_file(self) -> str:
        """File that defines this recipe, for messages."""
        return getattr(sys.modules[type(self).__module__], "__file__", None) or type(self).__module__

    def fields(self) -> dict[str, Any]:
        """Every number by name, without the data set."""
        names = (f.name for f in dataclasses.fields(self) if not f.name.startswith("dataset"))
        return {name: getattr(self, name) for name in names}

    def entry(self) -> dict[str, Any]:
        """What recipe.json and config.json hold."""
        entry = {"recipe": self.name(), "fields": self.fields(), "data": self.examples.description()}
        if ":" in entry["recipe"]:  # a recipe of your own: where its module was found
            entry["module_folder"] = str(Path(self.module_file()).resolve().parents[type(self).__module__.count(".")])
        return entry

    @staticmethod
    def from_entry(entry: Mapping[str, Any]) -> Recipe:
        """The recipe that :meth:`entry` described, on an empty stand-in of its data.

        Raises:
            InputError: The entry is damaged or from a version with other fields.
        """
        from absynth import recipes
        from absynth.data import sets

        name, numbers, data = entry.get("recipe"), entry.get("fields"), entry.get("data")
        if not isinstance(name, str) or not isinstance(numbers, dict):
            raise InputError(f"expected a recipe's name and fields, got the keys {sorted(entry)}: the file is damaged")
        if not isinstance(data, dict):
            raise InputError("the run was made by absynth 0.1, whose runs this version cannot open: train again")
        cls = recipes.find(name, str(data.get("kind")), entry.get("module_folder", ""))
        unknown = sorted(set(numbers) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise InputError(f"the run's recipe has fields this version does not know: {', '.join(unknown)}")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in numbers.items()}
        return cls(**values, dataset=sets.empty(data))


def absolute(data: str) -> str:
    """The absolute form of a path; a name of a published set as it is."""
    path = Path(data).expanduser()
    return str(path.resolve()) if data and path.exists() else data
