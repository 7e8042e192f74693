"""Seconds that a slider of the studio takes to answer while eight people use the page at once.

python benchmarks/studio.py        (needs absynth[studio])

Every session moves a slider of a 28×28 model, waits for the last samples, and looks at them for one to three seconds.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from gradio_client import Client  # pyright: ignore[reportMissingImports]

from absynth.results import record

RESULTS = Path(__file__).parent.parent / "results" / "bench"
MODELS = (("conditional/mnist", 5), ("conditional/fashion_mnist", 5), ("latent_prior/mnist", 60))
"""Models of 28×28 images, and the length of their chains as in training."""
PORT = 7890


def visit(k: int, moves: int, folder: Path, taken: dict[str, list[float]]) -> None:
    """One session: seconds until each answer is complete, into ``taken``."""
    rng = random.Random(k)
    client = Client(f"http://127.0.0.1:{PORT}/", verbose=False, download_files=folder)
    name, steps = MODELS[k % len(MODELS)]
    for seed in range(moves + 1):
        time.sleep(rng.uniform(1, 3))
        begun = time.perf_counter()
        *_, line = client.predict(name, 12, -1, rng.uniform(0.5, 1.5), 1.0, steps, seed, api_name="/samples")
        if "studio-error" in line:
            raise RuntimeError(line)
        if seed:  # the first loads the model
            taken[name].append(time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--moves", type=int, default=20, help="of each session, after the first")
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "absynth", "studio", "--port", str(PORT)]
        begun = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            server.stdout.readline()
            start = time.perf_counter() - begun
            taken: dict[str, list[float]] = {name: [] for name, _ in MODELS}
            visitors = [
                threading.Thread(target=visit, args=(k, options.moves, folder, taken)) for k in range(options.sessions)
            ]
            for visitor in visitors:
                visitor.start()
            for visitor in visitors:
                visitor.join()
            server.terminate()
    everything = sorted(seconds for found in taken.values() for seconds in found)
    figures = {
        "seconds until the page is served": start,
        "median seconds of an answer": statistics.median(everything),
        "p95 seconds of an answer": everything[int(0.95 * (len(everything) - 1))],
        **{f"median seconds of an answer, {name}": statistics.median(found) for name, found in taken.items()},
    }
    for name, value in figures.items():
        print(f"{name}: {value:.2f}")
    if not options.no_record:
        record(
            RESULTS / "studio.json",
            command=f"python benchmarks/studio.py --sessions {options.sessions} --moves {options.moves}",
            data="none: pretrained models",
            protocol=f"{options.sessions} sessions at once, {len(everything)} moves of a slider in all; 12 samples, "
            "chains as in training; seconds until the last answer of a move, after one to three seconds of thought",
            seeds=[0],
            figures={name: [value] for name, value in figures.items()},
            baselines={},
        )


if __name__ == "__main__":
    main()
