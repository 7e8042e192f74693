"""Translated sequences that move as their domain does: ``python reproductions/cycle_sequences.py --seeds 0 1``.

Next-frame error: how far frame t + 1 of a translated sequence is from where the target's true motion takes frame t,
over the circle's radius. The baseline is the same recipe with the plain cycle of frames in place of the loss through
the other domain's future; its weight is the same and so is everything else.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import fit, stream
from absynth.algorithms.cycle_cooperative import Domain
from absynth.algorithms.cycle_sequences import CycleSequences
from absynth.metrics.kernel import mmd
from absynth.recipes.cycle_sequences import RADIUS, CycleSequencesRecipe
from absynth.results import record

SEQUENCES = 500


def next_frame_error(recipe: CycleSequencesRecipe, v: Float[Tensor, "n t 2"], domain: Domain) -> float:
    """Mean distance of each frame from where the domain's motion takes the one before, over the radius."""
    return float((v[:, 1:] - recipe.turned(v[:, :-1], domain)).norm(dim=-1).mean()) / RADIUS[domain]


def measured(recipe: CycleSequencesRecipe, model: CycleSequences, seed: int) -> dict[str, float]:
    """Of translators alone, averaged over both directions."""
    found = {"next-frame error": 0.0, "MMD of frames": 0.0, "real next-frame error": 0.0}
    ways: list[tuple[Domain, Domain]] = [("x", "y"), ("y", "x")]
    real = {d: recipe.sequences(d, SEQUENCES, stream(seed, 0, 0, 31 + k)) for k, (d, _) in enumerate(ways)}
    for target, source in ways:
        draft = model.translate(real[source], target, rng=stream(seed, 0, 0, 33))[0]
        found["next-frame error"] += next_frame_error(recipe, draft, target) / 2
        found["real next-frame error"] += next_frame_error(recipe, real[target], target) / 2
        found["MMD of frames"] += mmd(draft[:, ::4].flatten(0, 1), real[target][:, ::4].flatten(0, 1)) / 2
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--out", type=Path, default=Path("results/cycle_sequences.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    through = CycleSequencesRecipe()
    recipes = {"through": through, "frames": replace(through, cycle=through.spatio_temporal, spatio_temporal=0.0)}
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in recipes}
    for seed in arguments.seeds:
        for kind, recipe in recipes.items():
            model = fit(replace(recipe, seed=seed), arguments.runs / f"cycle_sequences_{kind}_{recipe.steps}_{seed}")
            assert isinstance(model, CycleSequences)
            found[kind].append(measured(recipe, model, seed))
        print(f"seed {seed}: {found['through'][-1]}, per frame {found['frames'][-1]}", flush=True)
    error, frames = "next-frame error", "MMD of frames"
    record(
        arguments.out,
        command="python reproductions/cycle_sequences.py --seeds " + " ".join(map(str, arguments.seeds)),
        data=f"points on circles of radius {RADIUS['x']:g} and {RADIUS['y']:g}, {through.speed:g} radians a frame "
        f"one way and the other, {through.frames} frames; fresh draws, unpaired",
        protocol=f"{through.steps} updates of {through.batch} sequences; translators alone, frame by frame; "
        f"{SEQUENCES} sequences each way, averaged over both ways",
        seeds=arguments.seeds,
        figures={
            error: [f[error] for f in found["through"]],
            "error over that of the per-frame cycle": [
                a[error] / b[error] for a, b in zip(found["through"], found["frames"])
            ],
            frames: [f[frames] for f in found["through"]],
        },
        baselines={
            f"{error}/per-frame cycle": [f[error] for f in found["frames"]],
            f"{error}/sequences of the target": [f["real next-frame error"] for f in found["through"]],
            f"{frames}/per-frame cycle": [f[frames] for f in found["frames"]],
        },
        bars={
            "error over that of the per-frame cycle": {
                "at_most": 1.0,
                "why": "the spatio-temporal loss beats the cycle",
            }
        },
    )


if __name__ == "__main__":
    main()
