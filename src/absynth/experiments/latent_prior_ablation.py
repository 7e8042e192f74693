"""What the latent prior's numbers are worth: Tables 8 to 10 of Pang et al. 2020 on MNIST, one factor changed at a time.

Twelve models of the preset mnist: number of prior and of posterior steps, widths of prior and generator, and a fixed
Gaussian prior with generators of one, two and four times as many parameters. Fréchet distance of 5,000 samples to the
test images in the penultimate features of a classifier trained on the training split.
"""

from __future__ import annotations

from typing import Any

from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.tasks.evaluate import sample_quality

UPDATES = 450
CELLS: dict[str, dict[str, Any]] = {
    "K0 60, K1 20, f 100, generator 400": {},
    "K0 40": {"prior_steps": 40},
    "K0 80": {"prior_steps": 80},
    "K1 40": {"posterior_steps": 40},
    "K1 60": {"posterior_steps": 60},
    "f 50": {"energy_width": 50},
    "f 200": {"energy_width": 200},
    "generator 200": {"generator_width": 200},
    "generator 800": {"generator_width": 800},
    "Gaussian prior": {"prior": "gaussian"},
    # 16 → w → w → 784 has w² + 801 w weights: these have 2 and 4 times those of w = 400.
    "Gaussian prior, generator ×2": {"prior": "gaussian", "generator_width": 659},
    "Gaussian prior, generator ×4": {"prior": "gaussian", "generator_width": 1042},
}
"""Name of a model -> what it changes of the first."""
BASE, GAUSSIAN, LARGEST = (list(CELLS)[i] for i in (0, 9, 11))
FRECHET = "Fréchet distance"


@experiment(
    data="MNIST: 20,000 training images, 10,000 test images",
    protocol=f"{UPDATES} updates of batch 100 (half of the preset's), δ .4 and .1, σ .3; 5,000 samples at the trained "
    "K0 against the test split; the first model's numbers hold where a name says nothing else",
    seeds=(0, 1),
    minutes=10,
    bars={
        f"{FRECHET}, {BASE}, over that of the Gaussian prior": at_most(0.68, "Table 8: 29.44 over 43.39"),
        f"{FRECHET}, {BASE}, over that of the largest Gaussian": at_most(0.75, "Table 8: 29.44 over 39.50"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    found = {}
    cells = {name: CELLS[name] for name in (BASE, GAUSSIAN, LARGEST)} if run.tiny else CELLS
    for name, changed in cells.items():
        opened = run.fit("latent_prior", "mnist", label=name, steps=UPDATES, **changed)
        steps = [] if changed.get("prior") == "gaussian" else [opened.model.chain_steps()]
        features = run.features_of(opened)
        values, _ = sample_quality(opened, run.few(5000, 200), steps, features=features, seed=seed)
        found[name] = float(next(iter(values.values())))
    figures = {f"{FRECHET}, {name}": value for name, value in found.items()}
    figures[f"{FRECHET}, {BASE}, over that of the Gaussian prior"] = found[BASE] / found[GAUSSIAN]
    figures[f"{FRECHET}, {BASE}, over that of the largest Gaussian"] = found[BASE] / found[LARGEST]
    return Figures(figures)
