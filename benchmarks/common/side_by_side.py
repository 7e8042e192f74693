"""Fair timing on a shared machine: candidates take turns in one process, and ratios are of the same round.

Rounds go A B C, then C B A. On one thread the clock is the process's own time on the processor, which other processes
do not lengthen much; on more threads it is the wall. What is reported is the median over rounds of t_naive /
t_candidate, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from absynth.results import record

RESULTS = Path(__file__).parents[2] / "results" / "bench"


def arguments(description: str, **defaults: int) -> argparse.ArgumentParser:
    """Rounds, threads and where to write; ``defaults`` are further whole numbers."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--no-record", action="store_true", help="print only")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser


def peak(threads: int) -> float:
    """The machine's float32 rate in GFLOP/s: the best of packed matrix products of 1024 rows and columns."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    clock = time.process_time if threads == 1 else time.perf_counter
    packed = torch.backends.mkldnn.is_available()
    if packed:
        weight = torch.ops.mkldnn._reorder_linear_weight(b, 1024)
    best = 0.0
    for _ in range(12):
        begin = clock()
        for _ in range(3):
            torch.ops.mkldnn._linear_pointwise(a, weight, None, "none", [], "") if packed else a @ b
        best = max(best, 3 * 2 * 1024**3 / (clock() - begin) / 1e9)
    return best


@dataclass
class Bench:
    """One table, and one record in results/bench."""

    name: str
    title: str
    arguments: argparse.Namespace
    figures: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    bars: dict[str, dict] = field(default_factory=dict)

    def run(
        self,
        candidates: Mapping[str, Callable[[], object]],
        *,
        gflop: float,
        part: str = "",
        calls: int = 1,
        rounds: int | None = None,
    ) -> None:
        """Time the candidates, the first of which is the one that the others are compared with.

        Args:
            candidates: name to call.
            gflop: arithmetic of one call: multiplications and additions of forward and input gradient.
            part: what to call this comparison, where a benchmark has several.
            calls: calls a timing.
            rounds: timings a candidate.
        """
        rounds = rounds or self.arguments.rounds
        for threads in self.arguments.threads:
            torch.set_num_threads(threads)
            load = os.getloadavg()[0]
            floor = gflop / peak(threads)
            clock = time.process_time if threads == 1 else time.perf_counter
            times: dict[str, list[float]] = {name: [] for name in candidates}
            for call in candidates.values():
                call()  # warm-up: builds, caches, memory
            for k in range(rounds):
                for name in list(candidates) if k % 2 == 0 else reversed(list(candidates)):
                    begin = clock()
                    for _ in range(calls):
                        candidates[name]()
                    times[name].append((clock() - begin) / calls)
            self._report(times, threads, floor, load, part)

    def _report(self, times: dict[str, list[float]], threads: int, floor: float, load: float, part: str) -> None:
        what = "processor time" if threads == 1 else "wall time"
        title = f"{self.title}{part and ', ' + part}: {threads} thread{'s' * (threads > 1)}, {what}, load {load:.1f}"
        table = Table(title=title)
        for column in ("candidate", "ms", "× first (min–max)", "t / floor"):
            table.add_column(column, justify="left" if column == "candidate" else "right")
        first, *_ = times.values()
        for name, ts in times.items():
            ratios = [a / b for a, b in zip(first, ts)]
            median = statistics.median(ratios)
            table.add_row(
                name,
                f"{1e3 * statistics.median(ts):.2f}",
                f"{median:.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
                f"{statistics.median(ts) / floor:.2f}",
            )
            label = "_".join(w for w in (part, name, f"{threads}thread") if w)
            label = "".join(c if c.isalnum() else "_" for c in label)
            self.figures[label] = ratios
            self.notes.append(
                f"{label}: {1e3 * statistics.median(ts):.4g} ms, median ratio {median:.3f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}), {statistics.median(ts) / floor:.2f} of the floor"
            )
        self.notes.append(f"{part or self.name} on {threads}: floor {1e3 * floor:.4g} ms, load {load:.1f} at the start")
        Console(width=110).print(table)

    def keep(self, protocol: str) -> None:
        """Write results/bench/NAME.json: every round's ratio, and in the protocol medians, floors and the load."""
        if self.arguments.no_record:
            return
        command = f"python benchmarks/{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:])}".strip()
        longest = max(map(len, self.figures.values()))
        figures = {k: v for k, v in self.figures.items() if len(v) == longest}
        record(
            RESULTS / f"{self.name}.json",
            command=command,
            data="none: random data and random weights",
            protocol=f"{protocol} Figures are t_first / t_candidate of each round. " + "; ".join(self.notes) + ".",
            seeds=list(range(longest)),
            figures=figures,
            baselines={},
        )
