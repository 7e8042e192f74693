"""Chains of two checkouts in turns, on one thread: how much a change of the engine costs or gains.

    python benchmarks/between_commits.py --other PATH

Each checkout has a process of its own, which runs this script. Figures are the time of the other checkout over the time
of this one, of each round, in processor time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import models
from common.side_by_side import Bench, arguments

from absynth.data.toy import EightGaussians
from absynth.density import EBM
from absynth.distributions import Uniform
from absynth.samplers import MALA, Langevin, engine
from absynth.seeding import stream
from absynth.types import LogDensity, Sampler


def cases() -> dict[str, tuple[Callable[[], object], int]]:
    """What is timed, and how often in one timing."""
    torch.manual_seed(0)
    prior, generator, rng = models.prior(), models.generator(), stream(0)
    z, x, points = torch.randn(100, models.LATENT), torch.rand(100, 3, 32, 32) * 2 - 1, torch.randn(1000, 2)
    image = EBM(models.image_f(), Uniform(3, 32, 32))()

    def run(sampler: Sampler, log_density: Callable[[], LogDensity], x: torch.Tensor, fused: bool = True) -> object:
        with engine.use("traced", fused=fused):
            return sampler(log_density(), x, rng=rng)

    return {
        "prior": (lambda: run(Langevin(60, 0.4), lambda: prior().log_density, z, False), 3),
        "prior in C++": (lambda: run(Langevin(60, 0.4), lambda: prior().log_density, z), 5),
        "MALA": (lambda: run(MALA(60, 0.4), lambda: prior().log_density, z, False), 2),
        "mixture": (lambda: run(Langevin(100, 0.1), lambda: EightGaussians().log_prob, points), 2),
        "images": (lambda: run(Langevin(3, 1.0, noise_scale=0.01), lambda: image.log_density, x), 1),
        "posterior": (lambda: run(Langevin(5, 0.1), lambda: models.posterior(prior, generator, x), z), 1),
    }


def serve() -> None:
    """Time what is asked for on standard input."""
    torch.set_num_threads(1)
    made = cases()
    for call, _ in made.values():
        call()
    print("ready", flush=True)
    for line in sys.stdin:
        call, times = made[line.strip()]
        begin = time.process_time()
        for _ in range(times):
            call()
        print((time.process_time() - begin) / times, flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
        raise SystemExit
    parser = arguments(__doc__ or "")
    parser.add_argument("--other", type=Path, required=True, help="the other checkout")
    options = parser.parse_args()
    here = Path(__file__).parents[1]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=options.other, capture_output=True, text=True, check=True
    ).stdout.strip()
    workers = []
    for tree in (options.other.resolve(), here):
        paths = os.pathsep.join([str(tree / "src"), str(tree / "benchmarks")])
        command, environment = [sys.executable, __file__, "serve"], {**os.environ, "PYTHONPATH": paths}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        workers.append(subprocess.Popen(command, cwd=tree, env=environment, **pipes))
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    bench = Bench("between_commits", f"{commit} and this commit", options)
    load = os.getloadavg()[0]
    for name in cases():
        times: list[list[float]] = [[], []]
        for k in range(options.rounds):
            for i in (0, 1) if k % 2 == 0 else (1, 0):
                workers[i].stdin.write(name + "\n")
                workers[i].stdin.flush()
                times[i].append(float(workers[i].stdout.readline()))
        ratios = [a / b for a, b in zip(*times)]
        bench.figures[name] = ratios
        print(f"{name}: {statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
        medians = " and ".join(f"{1e3 * statistics.median(ts):.4g}" for ts in times)
        bench.notes.append(f"{name}: median {statistics.median(ratios):.3f}, {medians} ms")
    for worker in workers:
        worker.stdin.close()
    bench.notes.append(f"load {load:.1f} at the start")
    bench.keep(f"Processor time at {commit} over that at this commit, one thread, checkouts in turns.")
