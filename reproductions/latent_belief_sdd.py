"""Best-of-20 displacement on Stanford Drone videos that were held out: python reproductions/latent_belief_sdd.py."""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
from latent_belief_eth_ucy import PRIORS, K, learned

from absynth import stream
from absynth.metrics.displacement import RULE, best_of, constant_velocity, stochastic_constant_velocity
from absynth.recipes.latent_belief_sdd import LatentBeliefSDD
from absynth.results import record


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    rows: dict[str, list[float]] = defaultdict(list)
    windows = LatentBeliefSDD().windows("test")
    for seed in seeds:
        paths = {
            "/constant velocity, one prediction": constant_velocity(windows.past, 12)[None],
            "/stochastic constant velocity": stochastic_constant_velocity(windows.past, 12, K, rng=stream(seed)),
        }
        for prior, method in PRIORS.items():
            with tempfile.TemporaryDirectory() as folder:
                paths[method] = learned(LatentBeliefSDD(seed=seed, prior=prior), windows, Path(folder) / "run")
        for method, predicted in paths.items():
            found = best_of(predicted, windows.future)
            for figure, values in zip(("ADE", "FDE"), found):
                rows[figure + method].append(float(values.mean()))
                print(seed, figure + method, rows[figure + method][-1], flush=True)
    record(
        Path(__file__).parent.parent / "results" / "latent_belief_sdd.json",
        command=f"python reproductions/latent_belief_sdd.py --seeds {' '.join(map(str, seeds))}",
        data=f"Stanford Drone in TrajNet's form, its own unit of length; every fifth training video held out whole, "
        f"{len(windows)} test tracks",
        protocol=f"8 positions observed, 12 predicted, {K} predictions; {RULE}; the last weights of "
        f"{LatentBeliefSDD().steps} updates with the numbers chosen on ETH-UCY; no neighbours",
        seeds=seeds,
        figures={name: values for name, values in rows.items() if "/" not in name},
        baselines={name: values for name, values in rows.items() if "/" in name},
    )


if __name__ == "__main__":
    main()
