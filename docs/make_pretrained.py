"""The pretrained models: each is trained by a preset, measured, and saved with its card in pretrained/.

    python docs/make_pretrained.py [NAME ...]      # all: an hour on one core; needs ABSYNTH_DATA

A model that was trained before (--runs) is not trained again. Run it from a clean tree.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import absynth as ab
from absynth import checkpoint, tasks
from absynth.released import models_folder
from absynth.report.gather import is_current

LICENSE = "Apache-2.0"
GENERAL = "The license is that of the weights. The data have their own."
IMAGES = "Images of one size, small and grey; trained for minutes of one core, to show the method and no more."
PLANE = "A toy distribution in the plane."


@dataclass(frozen=True)
class Model:
    """How a model is made.

    Args:
        limits: What the card says of its limits, beside what follows from the recipe.
        tasks: Task -> its flags: the figures and pictures of the card.
        fields: Values that differ from the preset.
    """

    limits: tuple[str, ...]
    tasks: dict[str, dict[str, Any]]
    fields: dict[str, Any] = field(default_factory=dict)


SHEET: dict[str, dict[str, Any]] = {"sample": {"n": 100}, "evaluate": {"n": 5000}}
ROWS: dict[str, dict[str, Any]] = {"sample": {"n": 1000}, "evaluate": {"n": 1000}}

MODELS = {
    "conditional/mnist": Model((IMAGES,), SHEET, {"preset": "medium"}),
    "conditional/fashion_mnist": Model((IMAGES,), SHEET, {"preset": "medium"}),
    "latent_prior/mnist": Model((IMAGES, "Samples are means of p(x|z): blurred."), SHEET | {"reconstruct": {}}),
    "cooperative/mnist": Model((IMAGES,), SHEET, {"preset": "conv"}),
    "joint_energy/digits": Model(
        (IMAGES, "50 labels were used; a classifier for practice needs more."), {"sample": {"n": 100}, "classify": {}}
    ),
    "latent_prior/nci5k": Model(
        ("Most of the molecules are not valid at temperature 1, as the figure says: check them with rdkit.",
         "Nothing was optimized for synthesis, safety or activity."),
        {"sample": {"n": 100, "decoding": "draw", "temperature": 0.5}, "evaluate": {"n": 2000}},
    ),
    "latent_prior/eth_ucy": Model(
        ("Pedestrians of five scenes seen from above, 0.4 s apart; the scene zara1 was left out, and figures are those "
         "of zara1.", "Predictions are for study, not for the control of vehicles."),
        {"predict": {}},
    ),
    "detector/breast_cancer": Model(
        ("For demonstration: no medical use.", "Scores rank rows; a threshold is yours to choose."), {"detect": {}}
    ),
    "noise_contrastive/moons": Model((PLANE,), ROWS),
    "diffusion_recovery/ring": Model((PLANE,), ROWS),
    "maximum_likelihood/ring": Model((PLANE,), ROWS),
}  # fmt: skip


def make(name: str, runs: Path) -> Path:
    """Train, measure and save one model."""
    model, (method, data), run = MODELS[name], name.split("/"), runs / name
    recipe = ab.recipe(method, data, **{"threads": 1, "seed": 0, **model.fields})
    if checkpoint.finished(run) < recipe.steps:  # none yet, or one that was stopped
        ab.fit(recipe, run)
    for task, flags in model.tasks.items():
        if not is_current(run, task):
            words = [f"--{key.replace('_', '-')} {value}" for key, value in flags.items()]
            sys.argv = ["absynth", task, *shlex.split(" ".join([name, *words]))]  # the command that the result keeps
            tasks.find(task).command(run, device="cpu", **flags)
    return ab.load(run).save_pretrained(
        models_folder() / name, license=LICENSE, name=name, limits=[*model.limits, GENERAL]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="Names of models. Defaults to all.")
    parser.add_argument("--runs", type=Path, default=Path("runs/pretrained_training"), help="Where runs are kept.")
    given = parser.parse_args()
    for name in given.names or MODELS:
        print(make(name, given.runs))


if __name__ == "__main__":
    main()
