"""Digits to their negatives and back, unpaired: ``python reproductions/cycle_images.py --seeds 0 1 2``.

A classifier trained on the training split of MNIST reads translated test pictures, brought back from the negative where
need be: does translation keep what the picture is of? Translators alone, without revision.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from translation_mnist import read_as

from absynth import fit, pictures
from absynth.algorithms.cycle_cooperative import CycleCooperative
from absynth.metrics.features import classifier_features
from absynth.recipes.cycle_mnist import CycleMNIST
from absynth.results import record
from absynth.seeding import stream

TO_Y, TO_X = "share of labels kept, to the negative", "share of labels kept, from the negative"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--out", type=Path, default=Path("results/cycle_images.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = CycleMNIST().resolve()
    assert isinstance(recipe, CycleMNIST)
    features = classifier_features(recipe.read("train"), cache=arguments.cache)
    domain_x, domain_y = recipe.domain("x", "test"), recipe.domain("y", "test")
    assert domain_x.labels is not None
    assert domain_y.labels is not None
    x, y, labels_x, labels_y = domain_x.all(), domain_y.all(), domain_x.labels, domain_y.labels

    def share(v: torch.Tensor, labels: torch.Tensor) -> float:
        return float((read_as(v.clamp(-1, 1), features, arguments.cache) == labels).float().mean())

    figures: dict[str, list[float]] = {TO_Y: [], TO_X: [], "cycle error a pixel": [], "distance to the true map": []}
    revised: dict[str, list[float]] = {TO_Y: [], TO_X: []}
    for seed in arguments.seeds:
        model = fit(replace(recipe, seed=seed), arguments.runs / f"cycle_mnist_{recipe.steps}_{seed}")
        assert isinstance(model, CycleCooperative)
        to_y, y_revised = model.translate(x, "y", rng=stream(seed, 0, 0, 1))
        to_x, x_revised = model.translate(y, "x", rng=stream(seed, 0, 0, 2))
        figures[TO_Y].append(share(-to_y, labels_x))
        figures[TO_X].append(share(to_x, labels_y))
        revised[TO_Y].append(share(-y_revised, labels_x))
        revised[TO_X].append(share(x_revised, labels_y))
        with torch.no_grad():
            figures["cycle error a pixel"].append(float((model.to_x(to_y) - x).abs().mean()) / 2)
        figures["distance to the true map"].append(float((to_y + x).abs().mean() + (to_x + y).abs().mean()) / 4)
        print(f"seed {seed}: { {k: round(v[-1], 3) for k, v in figures.items()} }", flush=True)
        if seed == arguments.seeds[0]:
            rows = {"x": x, "to y": to_y, "revised": y_revised.clamp(-1, 1), "y": y, "to x": to_x}
            pictures.rows_with_labels({k: v[:12] for k, v in rows.items()}, arguments.docs / "cycle_images.png")
    bar = {"at_least": 0.9, "why": "translation keeps what the picture is of"}
    record(
        arguments.out,
        command="python reproductions/cycle_images.py --seeds " + " ".join(map(str, arguments.seeds)),
        data="MNIST: every other picture, and the others in negative; training split to learn, test split to translate",
        protocol=f"{recipe.steps} updates of {recipe.batch} unpaired pictures of each domain, chains of "
        f"{recipe.chain_steps} steps; translators alone; read by the classifier of {features.name}; the true map is "
        "the negative; errors are mean absolute values over the range of a pixel",
        seeds=arguments.seeds,
        figures=figures,
        baselines={
            **{f"{k}/revised": v for k, v in revised.items()},
            f"{TO_Y}/test pictures": [share(x, labels_x)],
            f"{TO_X}/test pictures": [share(-y, labels_y)],
        },
        bars={TO_Y: bar, TO_X: bar},
    )


if __name__ == "__main__":
    main()
