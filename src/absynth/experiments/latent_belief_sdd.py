"""Stanford Drone in pixels: best-of-20 displacement of the latent belief on videos of the published test set.

The published table is of TrajNet's tracks of 17 videos, whose test futures are not public. Here every agent of eight of
those videos is followed in the annotations themselves, so the figures compare with the baselines beside them and not
with the published ones.
"""

from __future__ import annotations

from absynth.experiments._tracks import RULES, SOCIAL, displacements
from absynth.experiments.harness import Figures, Run, at_most, experiment


@experiment(
    data="Stanford Drone's own annotations, pixels, 2.5 positions a second: every agent of 15 videos to learn, of 8 "
    "videos of the published test set to test",
    protocol=f"8 positions observed, 12 predicted, 800 updates; {RULES}; the preset's last weights, with the numbers "
    "chosen on ETH-UCY",
    seeds=(0, 1),
    minutes=4,
    bars={"ADE over that of the Gaussian prior": at_most(1.0, "the learned belief is worth something")},
)
def measure(seed: int, run: Run) -> Figures:
    found = displacements(run, "sdd_pixels")
    ours = {name: value for name, value in found.items() if "/" not in name}
    for figure in ("ADE", "FDE"):
        ours[f"{figure} over that of the Gaussian prior"] = (
            found[figure] / found[f"{figure}/Gaussian prior, same networks"]
        )
        ours[f"{figure} over that without neighbours"] = found[f"{figure}{SOCIAL}"] / found[figure]
    return Figures(ours, {name: value for name, value in found.items() if "/" in name})
