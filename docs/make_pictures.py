"""One picture a method, as docs/methods shows it: the preset is trained and its samples are drawn.

    python docs/make_pictures.py [METHOD ...]      # all that have no picture yet: an hour on one core

Models of the plane are drawn as their density under data and samples; others as the task named in PICTURES shows them.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import torch
from sklearn.datasets import make_moons

import absynth as ab
from absynth import pictures, tasks
from absynth.metrics.grid import Grid
from absynth.seeding import Streams
from absynth.tasks.opened import Opened, open_run

FOLDER = Path(__file__).parent / "methods"
SEED, SIDE, HALF = 0, 240, {"ring": 1.6, "wide_ring": 4.0, "moons": 3.0, "linear_modes": 4.0}
PICTURES = {
    "score_matching": ("ring", "sample"),
    "energy_matching": ("ring", "sample"),
    "diffusive_classification": ("ring", "sample"),
    "energy_discrepancy": ("ring", "sample"),
    "noise_contrastive": ("ring", "sample"),
    "maximum_likelihood": ("ring", "sample"),
    "diffusion_recovery": ("ring", "sample"),
    "cooperative_recovery": ("mnist", "sample"),
    "diffusion_amortized": ("mnist", "sample"),
    "discrepancy_prior": ("mnist", "sample"),
    "mixture_prior": ("mnist", "sample"),
    "multigrid": ("mnist", "sample"),
    "coarse_to_fine": ("mnist", "sample"),
    "amortized_latent_prior": ("ring", "sample"),
    "latent_prior_conv": ("mnist", "reconstruct"),
    "information_bottleneck": ("wide_ring", "sample"),
    "symbol_vector": ("mnist", "sample"),
    "vae": ("mnist", "sample"),
    "joint_vae": ("mnist", "sample"),
    "divergence_triangle": ("mnist", "sample"),
    "variational_teaching": ("mnist", "sample"),
    "dual_teaching": ("mnist", "sample"),
}
"""Method -> data set and the task whose picture is shown."""


def draw_plane(opened: Opened, file: Path) -> None:
    """Data, samples and, where the model has one, the density in the plane."""
    half, name = HALF[opened.data.name], opened.data.name
    grid = Grid(-half, half, SIDE, 2, dtype=torch.float32)
    samples = opened.model.sample(1000, rng=Streams(SEED, range(1000)))
    density = None
    try:
        log_p = opened.model.log_prob(grid.points).detach()
        density = (log_p - log_p.max()).exp().reshape(SIDE, SIDE).T
    except ab.Unsupported:
        pass
    shown = {"data": opened.examples("test").head(500)[:, :2], "samples": samples[:, :2]}
    pictures.scatter2d(file, shown, density, (-half, half, -half, half), title=name)


def draw_classes(run: Path, file: Path) -> None:
    """Two moons from six labels: samples of each class over the learned log density, eight nats deep."""
    x, y = make_moons(3000, noise=0.1, random_state=SEED)
    chain = {"temperature": 1.0, "chain_step_size": 0.15, "chain_steps": 40, "penalty": 0.0, "data_noise": 0.05}
    options = {"kind": "table", "preset": "digits_table", "labels": 6, "steps": 3000, "seed": SEED}
    recipe = ab.recipe("joint_energy", (x.astype("float32"), y), **options, **chain)
    model = ab.fit(recipe, run)
    grid = Grid(-3.0, 3.0, SIDE, 2, dtype=torch.float32)
    log_p = model.log_prob(grid.points).detach()
    classes = {f"class {c}": model.sample(300, torch.full((300,), c), rng=Streams(SEED, range(300))) for c in (0, 1)}
    density = (log_p - log_p.max() + 8).clamp(min=0).reshape(SIDE, SIDE).T  # the classes' peaks differ by nats
    pictures.scatter2d(file, classes, density, (-3.0, 3.0, -3.0, 3.0), title="two moons from six labels")


OWN = {"joint_energy": draw_classes}
"""Method -> what trains it and draws its picture."""


def draw(method: str, folder: Path) -> Path:
    """Train a method's preset and draw its picture."""
    run, file = folder / method, FOLDER / f"{method}.png"
    if method in OWN:
        OWN[method](run, file)
        return file
    data, task = PICTURES[method]
    ab.fit(ab.recipe(method, data, seed=SEED), run)
    opened = open_run(run)
    if opened.data.kind == "toy" and opened.data.shape == (2,):
        draw_plane(opened, file)
    else:
        result = tasks.find(task).command(run, n=60) if task == "sample" else tasks.find(task).command(run)
        shutil.copyfile(run / task / result.pictures[0]["file"], file)
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help=f"of {', '.join([*PICTURES, *OWN])}")
    missing = [method for method in [*PICTURES, *OWN] if not (FOLDER / f"{method}.png").exists()]
    for method in parser.parse_args().methods or missing:
        with tempfile.TemporaryDirectory() as folder:
            print(draw(method, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
