"""Best-of-20 displacement on ETH-UCY, each scene left out in turn: python reproductions/latent_belief_eth_ucy.py.

The belief stands beside a Gaussian prior with the same networks and beside constant velocity, all under one selection
rule. The numbers of the recipe were chosen on validation windows of zara1's and univ's training scenes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from absynth import fit, stream
from absynth.data.tracks import SCENES, Windows
from absynth.metrics.displacement import RULE, best_of, constant_velocity, stochastic_constant_velocity
from absynth.recipes._tracks import TrackRecipe
from absynth.recipes.latent_belief_eth_ucy import LatentBeliefETHUCY
from absynth.results import record
from absynth.samplers import engine

K = 20
PRIORS: dict[Literal["ebm", "gaussian"], str] = {"ebm": "", "gaussian": "/Gaussian prior, same networks"}
BARS = {"ADE": 0.327, "FDE": 0.614}


def learned(recipe: TrackRecipe, windows: Windows, folder: Path) -> Tensor:
    """K predictions of a model trained for it."""
    model = fit(recipe, folder, chains="planned")
    found = recipe.resolve()  # with the unit of length that the training tracks have
    assert isinstance(found, TrackRecipe)
    frames = found.frames(windows)
    c = frames.condition(windows.past)
    with engine.use("planned"):
        drawn = [model.sample(len(c), c, rng=stream(recipe.seed, 0, number, 1)) for number in range(K)]
    return torch.stack([frames.positions(x) for x in drawn])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    rows: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def note(paths: Tensor, windows: Windows, scene: str, seed: int, method: str) -> None:
        found = best_of(paths, windows.future)
        for figure, values in zip(BARS, found):
            rows[f"{figure}{method}"][seed].append(float(values.mean()))
            rows[f"{figure} {scene}{method}"][seed].append(float(values.mean()))
        print(scene, seed, method or "belief", *(f"{float(v.mean()):.3f}" for v in found), flush=True)

    for scene in SCENES:
        windows = LatentBeliefETHUCY(scene=scene).windows("test")
        for seed in seeds:
            for prior, method in PRIORS.items():
                with tempfile.TemporaryDirectory() as folder:
                    recipe = LatentBeliefETHUCY(scene=scene, seed=seed, prior=prior)
                    note(learned(recipe, windows, Path(folder) / "run"), windows, scene, seed, method)
            straight = constant_velocity(windows.past, 12)[None]
            note(straight, windows, scene, seed, "/constant velocity, one prediction")
            spread = stochastic_constant_velocity(windows.past, 12, K, rng=stream(seed))
            note(spread, windows, scene, seed, "/stochastic constant velocity")
    means = {name: [sum(by[s]) / len(by[s]) for s in seeds] for name, by in rows.items()}
    why = "stochastic constant velocity under the same rule, mean of the five scenes"
    record(
        Path(__file__).parent.parent / "results" / "latent_belief_eth_ucy.json",
        command=f"python reproductions/latent_belief_eth_ucy.py --seeds {' '.join(map(str, seeds))}",
        data="ETH-UCY, metres, 2.5 positions a second; trained on the training parts of four scenes, tested on every "
        "window of the fifth (364, 1197, 24334, 2356, 5910 of eth, hotel, univ, zara1, zara2)",
        protocol=f"8 positions observed, 12 predicted, {K} predictions; {RULE}; mean of the five scenes; the last "
        f"weights of {LatentBeliefETHUCY().steps} updates; no neighbours, no choice on the test windows. Stochastic "
        "constant velocity: the last step turned by N(0, 15°), its length times exp N(0, .25²)",
        seeds=seeds,
        figures={name: values for name, values in means.items() if "/" not in name},
        baselines={name: values for name, values in means.items() if "/" in name},
        bars={figure: {"at_most": bar, "why": why} for figure, bar in BARS.items()},
    )


if __name__ == "__main__":
    main()
