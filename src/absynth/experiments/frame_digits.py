"""FRAME of aligned digits, one model per class: one-versus-rest AUC, log Z tracked in learning against annealing.

The models are sparse: 150 wavelets that shared matching pursuit chose, both halves of each response, against 15,680
coefficients of every filter at every position (``--energy dense`` at four orientations). The score of a class is
log p_c(x) − log Σ p_c'(x), with log Z as tracked; the nearest mean is scored likewise, as equal spherical Gaussians.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms.frame import Frame
from absynth.algorithms.sparse_frame import SparseFrame
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.likelihood import log_z
from absynth.metrics.ranking import detection
from absynth.samplers import HMC
from absynth.seeding import stream

DIGITS = tuple(range(10))
TEST = 3000


def one_versus_rest(log_p: Float[Tensor, "n C"], labels: Tensor) -> list[float]:
    """AUC of each class by its log posterior odds."""
    found = []
    for k in range(log_p.shape[1]):
        rest = torch.cat([log_p[:, :k], log_p[:, k + 1 :]], 1).logsumexp(1)
        found.append(detection(rest - log_p[:, k], labels != k).auroc)
    return found


@experiment(
    data="MNIST: 200 training images per digit, each of mean 0 and variance 1; the first 3,000 test images",
    protocol="200 updates of 200 HMC chains; settings chosen on seed 10; log Z by annealed importance sampling with "
    "300 temperatures, for three digits",
    seeds=(0, 1, 2),
    minutes=3,
    bars={
        "digits with AUC above nearest mean": at_least(10, "every digit"),
        "log Z off annealing, relative": at_most(0.05, "within 5 %"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    digits = DIGITS[:2] if run.tiny else DIGITS
    columns, means, off, sketches = [], [], [], []
    x = labels = None
    for digit in digits:
        base = run.recipe("frame", "mnist", preset="sparse", label=f"digit {digit}")
        recipe = replace(base, label=digit, response_scale=()).resolve()  # type: ignore[call-arg]
        opened = run.train(recipe, f"digit {digit}")
        model = opened.model
        assert isinstance(model, Frame)
        if x is None:
            test = recipe.examples.split("test")
            assert test.labels is not None
            x, labels = recipe.model_inputs(test.head(run.few(TEST))), test.labels[: run.few(TEST)]
        data = recipe.model_inputs(recipe.examples.batch(recipe.rows()).x)  # type: ignore[attr-defined]
        columns.append(model.log_prob(x))
        means.append(-0.5 * (x - data.mean(0)).square().flatten(1).sum(1))
        if digit in (0, 3, 8):
            found = log_z(
                model.ebm().log_density, model.ebm.reference, chains=64, temperatures=run.few(300, 3),
                transition=HMC(1, 0.05), rng=stream(seed, 0, digit, 1),
            )  # fmt: skip
            off.append(abs(float(model.log_z()) - found.value) / max(abs(found.value), 1.0))
        if isinstance(model, SparseFrame):
            sketches.append(torch.stack([data[0].clamp(-1, 1), model.sketch(data)]))
    assert labels is not None
    ours, theirs = (one_versus_rest(torch.stack(c, 1), labels) for c in (columns, means))
    if seed == 0:
        both = torch.stack(sketches, 1)
        pictures.rows_with_labels({"image": both[0], "sketch": both[1]}, run.images / "frame_digits.png", scale=3)
    mean = sum(ours) / len(ours)
    return Figures(
        {
            "mean AUC": mean,
            "digits with AUC above nearest mean": sum(a > b for a, b in zip(ours, theirs, strict=True)),
            "log Z off annealing, relative": sum(off) / max(len(off), 1),
        },
        {"mean AUC/nearest mean": sum(theirs) / len(theirs)},
    )
