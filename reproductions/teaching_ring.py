"""The teaching methods side by side on eight Gaussians in the plane: ``python reproductions/teaching_ring.py``.

``--part settings`` trains every method with the same networks and numbers, and changes what decides: the length of the
chain and the generator's rate. ``--part shipped`` trains each method's recipe as it stands. KL(data ‖ ebm) is exact:
a sum over a grid that holds the reference's tails too; a method that has no energy of x has no such figure.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from absynth import Diverged, fit, load, stream
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.metrics.grid import Grid
from absynth.metrics.kernel import mmd, modes_hit
from absynth.recipes import find
from absynth.recipes._teaching import RING
from absynth.results import record

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "noise": ("short_run_ring", {}),
    "cooperative fast": ("cooperative_ring", {"teaching": "fast"}),
    "cooperative full": ("cooperative_ring", {"teaching": "full"}),
    "variational": ("variational_teaching_ring", {}),
    "triangle": ("divergence_triangle_ring", {}),
    "joint VAE": ("joint_vae_ring", {"beta1": 0.0}),
    "dual": ("dual_teaching_ring", {}),
}
COMMON = {"steps": 1000, "batch": 100, "width": 64, "latent": 2, "beta1": 0.5, "ebm_lr": 1e-3, "inference_lr": 1e-3}
COMMON |= {"guard_tries": 0, "checkpoint_every": 10_000, "log_every": 1000}  # the guard would mend what is to be shown
SETTINGS = {
    "K5": {"chain_steps": 5, "step_size": 0.1, "generator_lr": 1e-3},
    "K5, fast generator": {"chain_steps": 5, "step_size": 0.1, "generator_lr": 2e-3},
    "K30": {"chain_steps": 30, "step_size": 0.1, "generator_lr": 1e-3},
}
SAME = {"K5, fast generator": {"noise", "triangle", "joint VAE"}, "K30": {"triangle", "joint VAE"}}
"""Methods that a setting leaves as they are: no generator, or no chain to learn by."""
SHIPPED = ["short_run_ring", "cooperative_ring", "variational_teaching_ring", "divergence_triangle_ring"]
SHIPPED += ["joint_vae_ring", "dual_teaching_ring"]
GRID = Grid(-8, 8, 400, 2, dtype=torch.float32)
SAMPLES = 2000


def untrained(seed: int) -> float:
    """MMD of the untrained start, N(0, 2² I), where the noise-started EBM's chains begin."""
    return mmd(StandardNormal(2, std=2.0).sample(SAMPLES, stream(seed, 0, 0, 4)), truth(seed))


def truth(seed: int, purpose: int = 1) -> torch.Tensor:
    """Fresh draws of the data."""
    return RING.sample(SAMPLES, stream(seed, 0, 0, purpose))


def measure(name: str, seed: int, numbers: Mapping[str, Any]) -> dict[str, float]:
    """Train one recipe, and all that is asked of it. Samples that are not finite, and the modes of a run that the guard
    gave up, fail their questions.
    """
    recipe = replace(find(name)(seed=seed), **numbers)
    begun = time.process_time()
    gave_up = False
    with tempfile.TemporaryDirectory() as folder:
        try:
            model: Any = fit(recipe, Path(folder) / "run", chains="planned")
        except Diverged as error:
            print(f"seed {seed}, {name}: {error}", flush=True)
            model, gave_up = load(Path(folder) / "run"), True
    found = {"CPU seconds": time.process_time() - begun}
    data, centres = truth(seed), RING.means.float()
    revised = model.sample(SAMPLES, rng=stream(seed, 0, 0, 3))
    if hasattr(model, "draft"):
        drafts = model.draft(SAMPLES, rng=stream(seed, 0, 0, 2))[1]
        found |= {"MMD of drafts": mmd(drafts, data), "modes of drafts": modes_hit(drafts, centres)}
    if not torch.equal(revised, torch.nan_to_num(revised)):
        revised = torch.full_like(data, 1e3)  # far from everything
    found |= {"MMD of revised": mmd(revised, data), "modes": 0 if gave_up else modes_hit(revised, centres)}
    if isinstance(getattr(model, "ebm", None), EBM):  # not an energy of x and z
        kl = GRID.kl(RING.log_prob, model.ebm().log_density)
        found["KL"] = min(kl, 1e3) if math.isfinite(kl) else 1e3
    return found


def runs(part: str, methods: list[str], settings: list[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """What is trained: ``label -> (recipe, numbers)``."""
    if part == "shipped":
        found: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in SHIPPED}
        return found | {"cooperative_ring --teaching full": ("cooperative_ring", {"teaching": "full"})}
    return {
        f"{setting}, {method}": (METHODS[method][0], COMMON | SETTINGS[setting] | METHODS[method][1])
        for setting in settings
        for method in methods
        if method not in SAME.get(setting, ())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["settings", "shipped"], default="settings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["K5", "K5, fast generator"])
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, list[float]] = {}
    for k, seed in enumerate(arguments.seeds):
        for label, (name, numbers) in runs(arguments.part, arguments.methods, arguments.settings).items():
            found = measure(name, seed, numbers)
            print(f"seed {seed}, {label}: " + ", ".join(f"{key} {v:.4g}" for key, v in found.items()), flush=True)
            for key, value in found.items():
                figures.setdefault(f"{label}: {key}", []).append(value)
        write(arguments, arguments.seeds[: k + 1], figures)


def write(arguments: argparse.Namespace, seeds: list[int], figures: dict[str, list[float]]) -> None:
    """The record, with its bars."""
    half = sum(map(untrained, seeds)) / len(seeds) / 2
    bars: dict[str, dict[str, Any]] = {}
    for name in figures:
        if name.endswith(": MMD of drafts"):
            bars[name] = {"at_most": round(half, 5), "why": "half of the untrained start's"}
        if name.endswith(": modes") and (arguments.part == "shipped" or name == "K5, dual: modes"):
            bars[name] = {"at_least": 8, "why": "all eight modes on every seed"}
    noise, dual = "K5, noise: KL", "K5, dual: KL"
    if noise in figures and dual in figures:
        mean = sum(figures[noise]) / len(figures[noise])
        bars[dual] = {"at_most": round(mean / 2, 5), "why": "half of the noise-started EBM's at five steps"}
    name, asked = "teaching_ring" if arguments.part == "settings" else "teaching_ring_recipes", ""
    if arguments.settings == ["K30"]:
        name, asked = "teaching_ring_long", " --settings K30"
    first = next(key for key in figures if key.endswith("MMD of drafts"))
    same = (
        f"the same for all: {COMMON['steps']} updates of {COMMON['batch']}, networks of {COMMON['width']} units, all "
        "rates 1e-3 (a fast generator's 2e-3), K steps of δ = 0.1 on x, no guard"
    )
    record(
        arguments.out or Path(__file__).parent.parent / "results" / f"{name}.json",
        command=f"python reproductions/teaching_ring.py --part {arguments.part}{asked} --seeds "
        + " ".join(map(str, seeds)),
        data="eight Gaussians of standard deviation 0.2 on a circle of radius 2, fresh draws",
        protocol=(same if arguments.part == "settings" else "each method's own recipe as it stands")
        + "; KL(data ‖ ebm) in nats by a sum over a 400×400 grid on [-8, 8]²; squared MMD of "
        f"{SAMPLES} against {SAMPLES} draws of the data, mean over four bandwidths; modes with 2 % of the samples",
        seeds=seeds,
        figures=figures,
        baselines={
            f"{first}/untrained start": list(map(untrained, seeds)),
            f"{first}/two sets of data": [mmd(truth(s, 5), truth(s)) for s in seeds],
        },
        bars=bars,
    )


if __name__ == "__main__":
    main()
