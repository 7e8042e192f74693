"""How cost grows: time and memory against batch, K, width, image side, rows of data, and processes.

    python benchmarks/growth.py

A figure is the slope of log cost over log size at the three largest sizes: 1 is linear, 0 is no growth. Time is
processor time on one thread, of all sizes in turns in one process; memory is the peak of a process of its own above
what it held before its networks and data were made. A baseline "arithmetic" is the slope of the multiplications
that the networks need, which no implementation can go below for long.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import torch
from common import models
from torch.optim import Adam

import absynth
from absynth import distributed, recipes, results
from absynth.data import arrays
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, StandardNormal, Uniform
from absynth.networks.convnet import conv_f
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.mlp import mlp_f
from absynth.samplers import Langevin, engine
from absynth.seeding import stream
from absynth.types import Batch
from absynth.updates import Training

SIZES: dict[str, tuple[int, ...]] = {
    "batch": (16, 32, 64, 128, 256), "steps": (5, 10, 20, 40), "width": (8, 16, 32, 64), "side": (16, 32, 64, 128),
}  # fmt: skip
ROWS = 10**4, 10**5, 10**6, 10**7
PROCESSES = 1, 2, 4
Case = tuple[Callable[[], object], float, int]
"""A call, its arithmetic, and the number of weights."""


def update(*, batch: int = 32, steps: int = 5, width: int = 16, side: int = 32) -> Case:
    """An update of the latent prior: 3 K prior steps, K posterior steps, both players."""
    torch.manual_seed(0)
    f, net = mlp_f(models.LATENT, 200), deconv_generator(models.LATENT, side, 3, width)
    algorithm = absynth.LatentPrior(
        EBM(f, StandardNormal(models.LATENT)),
        GaussianGenerator(net, models.STD).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        prior_sampler=Langevin(3 * steps, 0.4),
        posterior_sampler=Langevin(steps, 0.1),
    )
    players = ("prior", "generator")
    optimizers = {k: Adam(algorithm.get_submodule(k).parameters(), 1e-4, fused=True) for k in players}
    x, rng = torch.rand(batch, 3, side, side) * 2 - 1, stream(0)
    of_f, of_g = (models.gflop(part, batch, models.LATENT) for part in (f, net))
    work = 4 * steps * of_f + (steps + 1.5) * of_g
    return lambda: absynth.update(algorithm, optimizers, Batch(x), rng=rng), work, _weights(algorithm)


def chain(*, batch: int = 32, steps: int = 5, width: int = 16, side: int = 32) -> Case:
    """A chain on images under a convolutional energy."""
    torch.manual_seed(0)
    f = conv_f(3, side, width)
    ebm, sampler = EBM(f, Uniform(3, side, side)), Langevin(steps, 1.0, noise_scale=0.01)
    x, rng = torch.rand(batch, 3, side, side) * 2 - 1, stream(0)
    return lambda: sampler(ebm().log_density, x, rng=rng), steps * models.gflop(f, *x.shape), _weights(f)


SUBJECTS = {"update": update, "chain": chain}


def _weights(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _with_engine(call: Callable[[], object]) -> None:
    with engine.use("auto", updates=10_000):  # as in `fit`
        call()


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Of log cost over log size, by least squares, at the three largest sizes."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(np.maximum(costs[-3:], 1e-6)), 1)[0])


# --- in a process of its own ------------------------------------------------------------------------------------------


def in_child(function: Callable[..., Any], *args: Any, copies: int = 1) -> list[Any]:
    """What ``function`` returns in forked processes; this one runs no network, so a child starts small."""
    context = multiprocessing.get_context("fork")
    ends = [context.Pipe(duplex=False) for _ in range(copies)]
    children = [context.Process(target=_tell, args=(end, i, function, *args)) for i, (_, end) in enumerate(ends)]
    for child, (_, end) in zip(children, ends):
        child.start()
        end.close()
    found = [mine.recv() for mine, _ in ends]
    for child in children:
        child.join()
    return found


def _tell(end: Connection, rank: int, function: Callable[..., Any], *args: Any) -> None:
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)  # read where several train together
    end.send(function(*args))


def times(subject: str, axis: str, rounds: int) -> tuple[list[list[float]], list[float], list[int]]:
    """Seconds of each round and size, arithmetic and weights of each size."""
    calls, work, weights = zip(*(SUBJECTS[subject](**{axis: size}) for size in SIZES[axis]))
    for call in calls:
        _with_engine(call)
    rows = []
    for k in range(rounds):
        row = {}
        for i in range(len(calls)) if k % 2 == 0 else reversed(range(len(calls))):
            begin = time.process_time()
            _with_engine(calls[i])
            row[i] = time.process_time() - begin
        rows.append([row[i] for i in range(len(calls))])
    return rows, list(work), list(weights)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(subject: str, axis: str, size: int) -> float:
    """Megabytes by which networks, data and one call raise the peak."""
    _with_engine(SUBJECTS[subject](batch=1, steps=1, width=8, side=16)[0])  # libraries and code
    before = _peak()
    _with_engine(SUBJECTS[subject](**{axis: size})[0])
    return _peak() - before


class Watch(Thread):
    """The peak of the memory that is no part of a file: pages of a mapped file are the system's to take back."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = Event()
        self.before = self.peak = self._now()
        self.start()

    def run(self) -> None:
        while not self.over.wait(0.01):
            self.peak = max(self.peak, self._now())

    def grown(self) -> float:
        """Megabytes above the start."""
        self.over.set()
        return max(self.peak, self._now()) - self.before

    def _now(self) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024


def reading(path: Path) -> dict[str, float]:
    """Seconds and megabytes of a memory-mapped file of images."""
    arrays.COPIED = 0  # small ones too
    watch = Watch()
    begin = time.process_time()
    data = absynth.data.open(path)
    assert data.fingerprint
    opened = time.process_time()
    batches = data.batches(100, seed=0)
    next(batches)
    first = time.process_time()
    for _ in range(80):
        next(batches)
    later = (time.process_time() - first) / 80
    return {
        "opening": opened - begin, "first minibatch of an epoch": first - opened, "later minibatch": later,
        "memory": watch.grown(),
    }  # fmt: skip


def training(images: Path, rounds: int) -> tuple[list[float], float]:
    """Processor seconds of this process's part of each update, and megabytes above the start."""
    before = _peak()
    with distributed.process_group(torch.device("cpu")), engine.use("auto", updates=10_000):
        recipe = recipes.build(
            "latent_prior", images, preset="svhn", batch=128, shards=4, threads=1, generator_width=16,
            prior_steps=15, posterior_steps=5,
        )  # fmt: skip
        updates, batches, spent = Training(recipe, torch.device("cpu")), recipe.batches(), []
        for _ in range(1 + rounds):
            begin = time.process_time()
            updates.learn(next(batches))
            updates.advance()
            spent.append(time.process_time() - begin)
            distributed.barrier()
    return spent[1:], _peak() - before


# --- the table --------------------------------------------------------------------------------------------------------


class Table:
    """Slopes by name, and what they come from."""

    def __init__(self) -> None:
        self.slopes: dict[str, list[float]] = {}
        self.arithmetic: dict[str, list[float]] = {}
        self.notes: list[str] = []

    def add(self, name: str, sizes: Sequence[float], rounds: Sequence[Sequence[float]], unit: str) -> None:
        """One row: costs of each round at each size."""
        self.slopes[name] = [slope(sizes, costs) for costs in rounds]
        middle = [statistics.median(costs) for costs in zip(*rounds)]
        self.notes.append(f"{name}: {', '.join(f'{s:g} {c:.3g}' for s, c in zip(sizes, middle))} {unit}")
        print(f"{statistics.median(self.slopes[name]):6.2f}  {self.notes[-1]}", flush=True)


def _networks(table: Table, rounds: int) -> None:
    for subject in SUBJECTS:
        for axis, sizes in SIZES.items():
            ((spent, work, weights),) = in_child(times, subject, axis, rounds)
            against = {"width": ("weights", weights), "side": ("pixels", [n * n for n in sizes])}
            what, amounts = against.get(axis, (axis, list(sizes)))
            table.add(f"{subject}, {what}: time", amounts, [[1e3 * t for t in row] for row in spent], "ms")
            table.arithmetic[f"{subject}, {what}: time/arithmetic"] = [slope(amounts, work)]
            taken = [[in_child(memory, subject, axis, size)[0] for size in sizes] for _ in range(rounds)]
            table.add(f"{subject}, {what}: memory", amounts, taken, "MB")


def _data(table: Table, rounds: int, folder: Path) -> None:
    files = [folder / f"{n}.npy" for n in ROWS]
    for n, file in zip(ROWS, files):
        made, rng = np.lib.format.open_memmap(file, "w+", np.uint8, (n, 8, 8)), np.random.default_rng(0)
        for first in range(0, n, 10**5):
            made[first : first + 10**5] = rng.integers(0, 256, (min(n, 10**5), 8, 8), np.uint8)
        made.flush()
    found = [[in_child(reading, file)[0] for file in files] for _ in range(rounds)]
    for what in found[0][0]:
        scale, unit = (1, "MB") if what == "memory" else (1e3, "ms")
        table.add(f"rows: {what}", ROWS, [[scale * one[what] for one in row] for row in found], unit)


def _processes(table: Table, rounds: int, folder: Path) -> None:
    images = folder / "images.npy"
    np.save(images, np.random.default_rng(0).integers(0, 256, (600, 32, 32, 3), dtype=np.uint8))
    spent, taken = [], []
    for i, n in enumerate(PROCESSES):
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29601 + i), "WORLD_SIZE": str(n)}
        parts = in_child(training, images, rounds, copies=n)
        spent.append([sum(1e3 * part[0][k] for part in parts) for k in range(rounds)])
        taken.append([max(part[1] for part in parts)] * rounds)
    table.add("processes: time of all", PROCESSES, list(zip(*spent)), "ms")
    table.add("processes: memory of each", PROCESSES, list(zip(*taken)), "MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    load, table = os.getloadavg()[0], Table()
    _networks(table, rounds)
    with tempfile.TemporaryDirectory() as folder:
        _data(table, rounds, Path(folder))
        _processes(table, rounds, Path(folder))
    linear = {"at_most": 1.1, "why": "linear in the size, and a tenth for noise"}
    results.record(
        Path(__file__).parent.parent / "results" / "bench" / "growth.json",
        command="python benchmarks/growth.py",
        data="none: random images and random weights",
        protocol="slope of log cost over log size at the three largest sizes; processor time, one thread a process; "
        f"{'; '.join(table.notes)}; load {load:.1f} at the start",
        seeds=list(range(rounds)),
        figures=table.slopes,
        baselines=table.arithmetic,
        bars={name: linear for name in table.slopes if name != "chain, pixels: time"},
    )


if __name__ == "__main__":
    main()
