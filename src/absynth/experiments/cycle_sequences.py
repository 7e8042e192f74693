"""Translated sequences that move as their domain does.

Next-frame error: how far frame t + 1 of a translated sequence is from where the target's true motion takes frame t,
over the circle's radius. The baseline is the same method with the plain cycle of frames in place of the loss through
the other domain's future, at the same weight.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.cycle_cooperative import Domain
from absynth.data.toy import RADIUS, CircleSequences
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.kernel import mmd
from absynth.recipes.cycle_sequences import turned
from absynth.seeding import stream

SEQUENCES = 500
ERROR, FRAMES = "next-frame error", "MMD of frames"


def next_frame_error(v: Float[Tensor, "n t 2"], domain: Domain) -> float:
    """Mean distance of each frame from where the domain's motion takes the one before, over the radius."""
    return float((v[:, 1:] - turned(v[:, :-1], domain)).norm(dim=-1).mean()) / RADIUS[domain]


def measured(model: Any, n: int, seed: int) -> dict[str, float]:
    """Figures of translators alone, averaged over both directions."""
    found = {ERROR: 0.0, FRAMES: 0.0, "real": 0.0}
    ways: list[tuple[Domain, Domain]] = [("x", "y"), ("y", "x")]
    real = {d: CircleSequences(d).sample(n, stream(seed, 0, 0, 31 + k)) for k, (d, _) in enumerate(ways)}
    for target, source in ways:
        initial = model.translate(real[source], target, rng=stream(seed, 0, 0, 33))[0]
        found[ERROR] += next_frame_error(initial, target) / 2
        found["real"] += next_frame_error(real[target], target) / 2
        frames, others = initial[:, ::4].flatten(0, 1), real[target][:, ::4].flatten(0, 1)
        found[FRAMES] += float(mmd(frames, others)) / 2
    return found


@experiment(
    data="points on circles of radius 1 and 1.5, 0.6 radians per frame one way and the other, 8 frames; unpaired",
    protocol=f"1,000 updates of 32 sequences; translators alone, frame by frame; {SEQUENCES} sequences each way, "
    "averaged over both ways",
    seeds=(0, 1),
    minutes=3,
    bars={"error over that of the per-frame cycle": at_most(1.0, "the spatio-temporal loss beats the cycle")},
)
def measure(seed: int, run: Run) -> Figures:
    n = run.few(SEQUENCES)
    ours = measured(run.fit("cycle_sequences", "circle_sequences").model, n, seed)
    fields = {"cycle_weight": 10.0, "spatio_temporal_weight": 0.0}
    plain = measured(run.fit("cycle_sequences", "circle_sequences", label="per frame", **fields).model, n, seed)
    return Figures(
        {
            ERROR: ours[ERROR],
            "error over that of the per-frame cycle": ours[ERROR] / plain[ERROR],
            FRAMES: ours[FRAMES],
        },
        {
            f"{ERROR}/per-frame cycle": plain[ERROR],
            f"{ERROR}/sequences of the target": ours["real"],
            f"{FRAMES}/per-frame cycle": plain[FRAMES],
        },
    )
