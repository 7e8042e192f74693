"""The models that the studio shows: runs of yours and pretrained ones, loaded when first chosen."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from absynth import released
from absynth.errors import InputError, Unsupported
from absynth.files import read_json
from absynth.report import logs
from absynth.seeding import Streams, stream
from absynth.sharing import card
from absynth.tasks.opened import Opened, open_run
from absynth.tasks.sample import samples, sampling_conditions
from absynth.tasks.short_run import short_run

TABS = ("samples", "fill", "walk", "mix", "guide", "futures", "anomalies", "training")
"""Names of the tabs, in the order of the page."""

EXAMPLES = 12
"""Examples of a model that the page shows to choose from."""


@dataclass
class _Slot:
    path: Path
    lock: threading.Lock = field(default_factory=threading.Lock)
    opened: Opened | None = None
    version: int = 0
    tabs: tuple[str, ...] = ()
    examples: Tensor | None = None


class Catalogue:
    """Runs and pretrained models by name.

    A model is loaded when it is first requested, and again when a run that is still training has saved new weights.
    Every method may be called by several threads.

    Args:
        runs: Run directories.
        pretrained: Names of pretrained models. Defaults to all that are installed.

    Raises:
        InputError: A run is none, or there is no model at all.
    """

    def __init__(self, runs: Sequence[str | Path] = (), pretrained: Sequence[str] | None = None) -> None:
        self._slots: dict[str, _Slot] = {}
        for run in runs:
            known = Path(run).as_posix() in released.names() and not Path(run).expanduser().exists()
            path = released.find(Path(run).as_posix()) if known else released.locate(run)
            logs.read(path)  # refuses what is no run, before the page opens
            self._slots[Path(run).as_posix()] = _Slot(path)
        for name in released.names() if pretrained is None else pretrained:
            self._slots.setdefault(name, _Slot(released.find(name)))
        if not self._slots:
            raise InputError("expected a run, got none, and no pretrained model is installed: absynth studio RUN")

    @property
    def names(self) -> list[str]:
        """Names of the models: runs as they were given, then pretrained ones."""
        return list(self._slots)

    def path(self, name: str) -> Path:
        """The folder of a model.

        Raises:
            InputError: There is no such model here.
        """
        return self._slot(name).path

    def open(self, name: str) -> Opened:
        """A model, opened for the tasks.

        Raises:
            InputError: There is no such model here, or its files are damaged, or it has no weights yet.
        """
        slot = self._slot(name)
        return self._open(slot, name)

    def tabs(self, name: str) -> tuple[str, ...]:
        """Names of the tabs that the model supports, some of :data:`TABS`."""
        slot = self._slot(name)
        logged = ("training",) if (slot.path / "metrics.jsonl").is_file() else ()
        if not (slot.path / "model.safetensors").is_file():
            return logged
        opened = self._open(slot, name)
        with slot.lock:
            if not slot.tabs:
                slot.tabs = tuple(tab for tab, supports in _SUPPORTS.items() if supports(opened))
        mixes = ("mix",) if self.partners(name) else ()
        found = {*slot.tabs, *mixes, *logged}
        return tuple(tab for tab in TABS if tab in found)

    def partners(self, name: str) -> list[str]:
        """Names of the models whose densities can be multiplied with this one's: both of data of one shape."""
        slot = self._slot(name)
        shape = _shape(slot.path)
        if shape is None or not can_mix(self._open(slot, name)):
            return []
        others = [other for other, s in self._slots.items() if other != name and _shape(s.path) == shape]
        return [other for other in others if _supported(lambda o=other: self.open(o)) and can_mix(self.open(other))]

    def examples(self, name: str) -> Tensor:
        """Examples to choose from, ``[n, *event]``: of the test split if the data are at hand, else samples."""
        slot = self._slot(name)
        opened = self._open(slot, name)
        with slot.lock:
            if slot.examples is None:
                slot.examples = find_examples(opened)
            return slot.examples

    def describe(self, name: str) -> str:
        """One sentence on a model: method, data, first figure and its baselines."""
        path = self._slot(name).path
        log = logs.read(path)
        said = f"{log.name} on {log.data}"
        if not (path / "model.safetensors").is_file():
            return f"{said}; it has no weights yet"
        found = card.summary(path)
        if found["value"] is None:
            return said
        others = "; ".join(f"{method} {value:.4g}" for method, value in found["baselines"].items())
        return f"{said}; {found['figure']} {found['value']:.4g}" + (f" ({others})" if others else "")

    def _slot(self, name: str) -> _Slot:
        if name not in self._slots:
            raise InputError(f"expected one of the models here, got {str(name)[:80]!r}: choose one of the list")
        return self._slots[name]

    def _open(self, slot: _Slot, name: str) -> Opened:
        weights = slot.path / "model.safetensors"
        if not weights.is_file():
            raise InputError(f"{name} has no weights yet: watch it train, and choose it again")
        with slot.lock:
            version = weights.stat().st_mtime_ns
            if slot.opened is None or version != slot.version:
                opened = open_run(slot.path, "cpu", task="studio")
                opened.model.requires_grad_(False)  # chains need the gradient in x alone
                slot.opened, slot.version, slot.tabs, slot.examples = opened, version, (), None
            return slot.opened


def find_examples(opened: Opened, n: int = EXAMPLES) -> Tensor:
    """n examples of the test split if the data are at hand, else samples of the model with the seeds of their numbers.

    A short-run EBM, whose initial state is its latent variable, always shows samples: :func:`walk_starts`.
    """
    if walks_between_starts(opened):
        run = short_run(opened.model)
        assert run is not None
        with torch.no_grad():
            return run(walk_starts(opened, n)).cpu()
    try:
        return opened.inputs("", n)[0]
    except InputError:
        return samples(opened.model, n, sampling_conditions(opened, n, -1), seed=0, device=opened.device)


def walk_starts(opened: Opened, n: int = EXAMPLES) -> Tensor:
    """Initial states of a short-run EBM, ``[n, *event]``; the examples of :func:`find_examples` begin there."""
    run = short_run(opened.model)
    assert run is not None
    return run.start.sample(n, Streams(0, range(n), device=opened.device))


def walks_between_starts(opened: Opened) -> bool:
    """Whether walks of the model go between initial states of its chain."""
    return not opened.conditional and not infers(opened) and short_run(opened.model) is not None


def infers(opened: Opened) -> bool:
    """Whether the model has a latent variable that it infers from examples."""
    x = torch.zeros(1, *opened.data.shape)
    return _supported(lambda: opened.model.generate(opened.model.sample_posterior(x, rng=stream(0))))


def can_mix(opened: Opened) -> bool:
    """Whether the model has a density of the data and a chain on it."""
    return not opened.conditional and _supported(lambda: opened.model.data_chain().tempered)


def _supported(capability: Callable[[], object]) -> bool:
    try:
        capability()
    except (InputError, RuntimeError):  # of a kind of data that the capability was not made for
        return False
    return True


def _can_sample(opened: Opened) -> bool:
    """Whether the model draws samples; those of a model of tracks are futures of a past."""
    if opened.data.kind in ("tracks", "picture"):  # a sample of a picture takes seconds: none is drawn here
        return opened.data.kind == "picture"
    if opened.conditional or _supported(lambda: opened.model.chain().start.sample(1, stream(0))):
        return True
    return _supported(lambda: opened.model.sample(1, rng=stream(0)))


def _can_fill(opened: Opened) -> bool:
    """Whether the model completes images: it is asked to, and stopped where it first looks at the observation."""

    class Reached(Exception):
        pass

    def look(_: Tensor) -> Tensor:
        raise Reached

    if opened.data.kind != "image" or opened.conditional:
        return False
    try:
        opened.model.complete(look, 1, steps=1, rng=stream(0))
    except Reached:
        return True
    except (InputError, RuntimeError):
        return False
    return True


def _can_walk(opened: Opened) -> bool:
    if opened.data.kind != "image" or opened.conditional:
        return False
    return infers(opened) or short_run(opened.model) is not None or can_mix(opened)


def _can_guide(opened: Opened) -> bool:
    if opened.data.kind != "smiles" or importlib.util.find_spec("rdkit") is None:
        return False
    return not opened.conditional and _supported(lambda: opened.model.chain()) and opened.model.chain().latent


def _can_rank(opened: Opened) -> bool:
    if opened.data.kind != "table" or opened.conditional:
        return False
    return _supported(lambda: opened.model.anomaly_scores(torch.zeros(1, *opened.data.shape), steps=1, rng=stream(0)))


_SUPPORTS: dict[str, Callable[[Opened], bool]] = {
    "samples": _can_sample,
    "fill": _can_fill,
    "walk": _can_walk,
    "guide": _can_guide,
    "futures": lambda opened: opened.data.kind == "tracks",
    "anomalies": _can_rank,
}


def _shape(path: Path) -> tuple[str, tuple[int, ...]] | None:
    """Kind and shape of a run's data; None where it has no weights."""
    if not (path / "model.safetensors").is_file():
        return None
    try:
        data = read_json(path / "config.json")["data"]
        return data["kind"], tuple(data["shape"])
    except (InputError, KeyError, TypeError):
        return None


def labels_of(opened: Opened) -> list[tuple[str, int]]:
    """Names and numbers of the classes that the model can sample; empty where it is not conditioned on one."""
    try:
        known = opened.conditions(1000)
    except Unsupported:
        return []
    except InputError:  # the data are not at hand, and conditions are taken from them
        return []
    if known is None or known.ndim != 1 or known.is_floating_point():
        return []
    names = opened.data.class_names
    found = sorted(set(known.tolist()))
    return [(names[label] if label < len(names) else str(label), label) for label in found]
