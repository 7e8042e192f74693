"""Whether the cost that ``--dry-run`` states is what training takes: ratio of the true time to the stated one.

    python benchmarks/dry_run.py

Each preset of video, voxels, points, single images and controls is measured as ``--dry-run`` measures it, then trained
for a share of its updates, all stages included, with checkpoints and logs. Both are in processor time of one thread, so
that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

import absynth
from absynth import recipes
from absynth.devices import choose_device
from absynth.samplers import engine
from absynth.training import cost_of_update
from absynth.updates import Training

PRESETS = {
    "flag": "maximum_likelihood", "modelnet10": "maximum_likelihood", "modelnet10_points": "maximum_likelihood",
    "brick": "patchwise", "coffee": "patchwise", "eth_ucy": "inverse_control", "ngsim": "inverse_control",
}  # fmt: skip


def ratio(method: str, data: str, updates: int) -> tuple[float, float]:
    """True time of so many updates over the stated one, and the minutes that the whole preset is said to take."""
    recipe = recipes.build(method, data)
    with engine.use("auto", updates=recipe.steps):
        stated = cost_of_update(Training(recipe, choose_device("cpu")), clock=time.process_time)
    steps = min(updates, recipe.steps)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        absynth.fit(replace(recipe, steps=steps), Path(folder) / "run")
        taken = time.process_time() - begun
    return taken / (stated * steps), stated * recipe.steps / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--updates", type=int, default=200, help="Updates of the true run, at most.")
    parser.add_argument("--only", nargs="*", default=list(PRESETS), choices=list(PRESETS), help="Presets to measure.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for data in options.only:
        found, minutes = ratio(PRESETS[data], data, options.updates)
        print(f"{PRESETS[data]} on {data}: {minutes:.1f} min stated; true over stated {found:.2f}", flush=True)


if __name__ == "__main__":
    main()
