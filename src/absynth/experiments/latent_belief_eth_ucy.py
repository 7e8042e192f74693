"""Tracks of ETH-UCY, each scene left out in turn: best-of-20 displacement of the latent belief.

The belief stands beside a Gaussian prior with the same networks, beside itself with the pasts of six neighbours pooled,
and beside constant velocity, all under the same selection rules. The preset's numbers were chosen on validation windows
of zara1's and univ's training scenes.
"""

from __future__ import annotations

from collections import defaultdict

from absynth.data.tracks import SCENES
from absynth.experiments._tracks import RULES, SOCIAL, displacements
from absynth.experiments.harness import Figures, Run, at_most, experiment

WHY = "stochastic constant velocity under the same rule, mean of the five scenes"


@experiment(
    data="ETH-UCY, metres, 2.5 positions a second; trained on the training parts of four scenes, tested on every "
    "window of the fifth (364, 1197, 24334, 2356, 5910 of eth, hotel, univ, zara1, zara2)",
    protocol=f"8 positions observed, 12 predicted, 800 updates; {RULES}; mean of the five scenes; the preset's last "
    "weights, no choice on the test windows. Stochastic constant velocity: the last step turned by N(0, 15°), its "
    "length times exp N(0, .25²)",
    seeds=(0, 1),
    minutes=8,
    bars={"ADE": at_most(0.327, WHY), "FDE": at_most(0.614, WHY)},
)
def measure(seed: int, run: Run) -> Figures:
    rows: dict[str, list[float]] = defaultdict(list)
    scenes = SCENES if not run.tiny else SCENES[:1]
    for scene in scenes:
        for name, value in displacements(run, "eth_ucy", f" {scene}", scene=scene).items():
            figure, slash, method = name.partition("/")
            rows[name].append(value)
            rows[f"{figure} {scene}{slash}{method}"].append(value)
    means = {name: sum(values) / len(values) for name, values in rows.items()}
    ours = {name: value for name, value in means.items() if "/" not in name}
    for figure in ("ADE", "FDE"):
        ours[f"{figure} over that without neighbours"] = means[f"{figure}{SOCIAL}"] / means[figure]
    return Figures(ours, {name: value for name, value in means.items() if "/" in name})
