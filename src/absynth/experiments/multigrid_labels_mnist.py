"""Classes of MNIST from 1,000 to 4,000 labels, by a linear classifier on the features of multi-grid energies.

The energies see all training images and no label. Baselines: the same classifier on principal components of the pixels,
and on the features of the same networks with random weights, which tell what learning brings.
"""

from __future__ import annotations

from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.tasks.features import linear_probes

LABELS, RANK = (1000, 2000, 4000), 256
ERROR, OVER = "error from {} labels", "error from {} labels, over that of {}"
PIXELS, RANDOM = f"PCA-{RANK} of the pixels", "features of random weights"


@experiment(
    data="MNIST 28×28: 20,000 training images of which 1,000 to 4,000 have a label, 10,000 test images",
    protocol=f"multigrid, preset mnist, 900 updates; logistic regression on {RANK} principal components of the largest "
    "responses of each block, equally many labels of each class; share of wrong classes on the test split",
    seeds=(0, 1, 2),
    minutes=5,
    bars={
        OVER.format(n, other): at_most(1.0, "below the same classifier without learned features")
        for n in LABELS
        for other in (PIXELS, RANDOM)
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("multigrid", "mnist", limit=20_000)
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for n in LABELS:
        accuracy, others = linear_probes(opened, labels=run.few(n // 10, 3), rank=RANK, seed=seed, batch=500)
        error = values[ERROR.format(n)] = 1 - accuracy
        rivals = {PIXELS: 1 - others[f"PCA-{RANK} of the examples"], RANDOM: 1 - others[RANDOM]}
        for name, rival in rivals.items():
            baselines[f"{ERROR.format(n)}/{name}"] = rival
            values[OVER.format(n, name)] = error / max(rival, 1e-9)
    return Figures(values, baselines)
