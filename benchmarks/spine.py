"""What ``fit`` costs beside the bare loop: metrics, the guard's eyes and logging, in percent of a step.

The two are interleaved block by block (A B A B) in one process, so that a busy machine troubles both alike; what counts
is the median of the ratios of neighbouring blocks, in time on the processor as well as on the wall.

    ABSYNTH_DATA=... python benchmarks/spine.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import absynth
from absynth import recipes, results
from absynth.recipes import Recipe
from absynth.seeding import stream

STEPS = 20


class Interleaved:
    """A callback of ``fit`` that runs a block of the bare loop after every block of fit's own, and times both."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        self.algorithm = recipe.algorithm().train()
        self.optimizers, self.batches, self.step = recipe.optimizers(self.algorithm), recipe.batches(), 0
        self.spent: dict[str, list[tuple[float, float]]] = {"bare": [], "fit": []}

    def begin(self, recipe: Recipe, step: int) -> None:
        self.since = time.process_time(), time.perf_counter()

    def log(self, row: dict) -> None:
        if row["step"] % STEPS:
            return
        self._note("fit")
        for _ in range(STEPS):
            rng = stream(self.recipe.seed, 0, self.step)
            absynth.update(self.algorithm, self.optimizers, next(self.batches), rng=rng)
            self.step += 1
        self._note("bare")

    def _note(self, way: str) -> None:
        now = time.process_time(), time.perf_counter()
        self.spent[way].append((now[0] - self.since[0], now[1] - self.since[1]))
        self.since = now

    def say(self, text: str) -> None: ...
    def end(self) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description="Time fit beside the bare loop.")
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("results/bench/spine.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    steps = STEPS * (arguments.blocks + 1)  # its checkpoints too
    recipe = recipes.build("latent_prior", "mnist", steps=steps)
    watcher = Interleaved(recipe)
    with tempfile.TemporaryDirectory() as folder:
        absynth.fit(recipe, folder, callbacks=[watcher])
    spent = {way: times[1:] for way, times in watcher.spent.items()}  # the first block of each warms up
    table = Table("clock", "bare loop, ms a step", "fit, ms a step", "fit adds", "blocks' range")
    figures, baselines = {}, {}
    for i, clock in enumerate(("processor", "wall")):
        ratios = [b[i] / a[i] for a, b in zip(spent["bare"], spent["fit"])]
        added = 100 * (statistics.median(ratios) - 1)
        each = {name: 1000 * statistics.median(t[i] for t in times) / STEPS for name, times in spent.items()}
        low, high = 100 * (min(ratios) - 1), 100 * (max(ratios) - 1)
        table.add_row(
            clock, f"{each['bare']:.2f}", f"{each['fit']:.2f}", f"{added:+.2f} %", f"{low:+.1f} ... {high:+.1f} %"
        )
        figures[f"fit adds to the bare loop, % of {clock} time"] = [added]
        figures[f"a step under fit, ms of {clock} time"] = [each["fit"]]
        baselines[f"a step under fit, ms of {clock} time/bare loop"] = [each["bare"]]
    Console().print(table)
    results.record(
        arguments.out,
        command="python benchmarks/spine.py",
        data="MNIST, latent_prior with the preset mnist",
        protocol=f"{arguments.blocks} blocks of {STEPS} steps each way, interleaved, one thread, checkpoints included; "
        f"median of ratios; load of the machine {os.getloadavg()[0]:.1f}",
        seeds=[0],
        figures=figures,
        baselines=baselines,
        bars={"fit adds to the bare loop, % of processor time": {"at_most": 3.0, "why": "the spine costs nothing"}},
    )


if __name__ == "__main__":
    main()
