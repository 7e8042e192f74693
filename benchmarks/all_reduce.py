"""The share of an update that two processes spend on averaging gradients, beside what they gain.

    python benchmarks/all_reduce.py

Two processes of one thread each under torchrun, over loopback, train the latent prior at the paper's SVHN size (batch
100 in two slices, random images); the exchange is timed in each of them after a barrier, so that waiting for the other
process is not counted as exchange. One process trains the same two slices for comparison. Chains need no exchange: K_0
+ K_1 gradient steps go with one all-reduce of the weights' gradients.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from absynth import distributed, recipes, results
from absynth.samplers import engine
from absynth.updates import Training

ROUNDS = 6
"""Updates that are timed, after one that is not."""


def worker(images: Path) -> None:
    """Train and print one JSON line: seconds of each update, and of its exchange."""
    torch.set_num_threads(1)
    with distributed.process_group(torch.device("cpu")), engine.use("auto", updates=10_000):
        recipe = recipes.build("latent_prior", images, preset="svhn", batch=100, shards=2, threads=1)
        updates = Training(recipe, torch.device("cpu"))
        batches = recipe.batches()
        average, exchange, whole = distributed.average, [], []

        def timed(tensors):
            distributed.barrier()
            begun = time.perf_counter()
            average(tensors)
            exchange.append(time.perf_counter() - begun)

        distributed.average = timed
        for _ in range(1 + ROUNDS):
            distributed.barrier()
            begun = time.perf_counter()
            updates.learn(next(batches))
            updates.advance()
            whole.append(time.perf_counter() - begun)
        if distributed.rank() == 0:
            print(json.dumps({"update": whole[1:], "exchange": exchange[1:]}), flush=True)


def run(processes: int, images: Path) -> dict[str, list[float]]:
    """Seconds of updates and exchanges of so many processes."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--master-port=29581"]
    done = subprocess.run([*command, __file__, "--worker", images], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker)
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        np.save(images, np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8))
        two, one = run(2, images), run(1, images)
    shares = [100 * e / u for e, u in zip(two["exchange"], two["update"], strict=True)]
    gains = [a / b for a, b in zip(one["update"], two["update"], strict=True)]
    share, gain = statistics.median(shares), statistics.median(gains)
    print(f"exchange {share:.2f} % of an update; two processes are {gain:.2f} times as fast as one")
    results.record(
        Path(__file__).parent.parent / "results" / "bench" / "all_reduce.json",
        command="python benchmarks/all_reduce.py",
        data="none: random images and random weights",
        protocol="latent prior at the paper's SVHN size, batch 100 in two slices, one thread a process, gloo over "
        f"loopback; exchange timed after a barrier; update {statistics.median(two['update']):.3g} s by two, "
        f"{statistics.median(one['update']):.3g} s by one; load {load:.1f} at the start",
        seeds=list(range(ROUNDS)),
        figures={"exchange, % of an update": shares, "one process over two": gains},
        baselines={},
    )


if __name__ == "__main__":
    main()
