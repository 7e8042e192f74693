"""Digits to their negatives and back, unpaired: does translation keep what the image shows?

A classifier trained on the training split of MNIST reads translated test images, mapped back from the negative where
needed. Translators alone, without refinement.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.experiments._classifier import share_read
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.seeding import stream

TO_Y, TO_X = "share of labels kept, to the negative", "share of labels kept, from the negative"
BAR = at_least(0.9, "translation keeps what the image shows")


@experiment(
    data="MNIST: every other image, and the others in negative; training split to learn, test split to translate",
    protocol="400 updates of 32 unpaired images of each domain, chains of 10 steps; translators alone; read by a "
    "classifier of the training split; the true map is the negative; errors are mean absolute values over the range "
    "of a pixel",
    seeds=(0, 1, 2),
    minutes=2,
    bars={TO_Y: BAR, TO_X: BAR},
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("cycle", "mnist")
    model: Any = opened.model
    recipe: Any = opened.full
    features = run.features_of(opened)
    domain_x, domain_y = (recipe.domain(which).split("test") for which in "xy")
    n = run.few(5000, 60)
    x, y, labels_x, labels_y = domain_x.head(n), domain_y.head(n), domain_x.labels[:n], domain_y.labels[:n]

    def share(v: Tensor, labels: Tensor) -> float:
        return share_read(v.clamp(-1, 1), labels, features, run.features)

    to_y, y_refined = model.translate(x, "y", rng=stream(seed, 0, 0, 1))
    to_x, x_refined = model.translate(y, "x", rng=stream(seed, 0, 0, 2))
    with torch.no_grad():
        cycle = float((model.to_x(to_y) - x).abs().mean()) / 2
    rows = {"x": x, "to y": to_y, "refined": y_refined.clamp(-1, 1), "y": y, "to x": to_x}
    pictures.rows_with_labels({k: v[:12] for k, v in rows.items()}, run.images / "cycle_images.png")
    return Figures(
        {
            TO_Y: share(-to_y, labels_x),
            TO_X: share(to_x, labels_y),
            "cycle error per pixel": cycle,
            "distance to the true map": float((to_y + x).abs().mean() + (to_x + y).abs().mean()) / 4,
        },
        {
            f"{TO_Y}/refined": share(-y_refined, labels_x),
            f"{TO_X}/refined": share(x_refined, labels_y),
            f"{TO_Y}/test images": share(x, labels_x),
            f"{TO_X}/test images": share(-y, labels_y),
        },
    )
