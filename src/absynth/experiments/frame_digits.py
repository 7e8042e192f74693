"""FRAME of aligned digits, one model per class: one-versus-rest AUC, log Z tracked in learning against annealing.

Each model tilts the Gaussian of its class. Dense models have both halves of every filter's response at every position;
sparse ones those of 49 wavelets that shared matching pursuit chose, 98 coefficients. The score of a class is
log p_c(x) − log Σ p_c'(x), with log Z as tracked. The Gaussians alone and the nearest mean, as equal spherical
Gaussians, are scored likewise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import pictures
from absynth.algorithms.frame import Frame
from absynth.algorithms.sparse_frame import SparseFrame
from absynth.distributions import StandardNormal
from absynth.experiments._small_digits import mnist16
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.gaussian import Gaussian
from absynth.metrics.likelihood import log_z
from absynth.metrics.ranking import detection
from absynth.samplers import HMC
from absynth.seeding import stream

DIGITS = tuple(range(10))
ANNEALED = {"dense": (3,), "sparse": (0, 3, 8)}
"""The digits whose log Z is compared."""
TEST = 3000
SHARED: dict[str, Any] = {
    "reference": "gaussian", "orientations": 4, "examples_used": 200, "chain_steps": 2, "leapfrog_steps": 5,
    "chain_step_size": 0.25, "chains": 400, "tracking_chains": 300, "beta1": 0.9,
}  # fmt: skip
FIELDS: dict[str, dict[str, Any]] = {
    "dense": {"preset": "mnist", "steps": 150, "energy_lr": 0.002},
    "sparse": {"preset": "mnist/sparse", "steps": 100, "wavelets": 49, "energy_lr": 0.01},
}  # fmt: skip


def one_versus_rest(log_p: Float[Tensor, "n C"], labels: Tensor) -> list[float]:
    """AUC of each class by its log posterior odds."""
    found = []
    for k in range(log_p.shape[1]):
        rest = torch.cat([log_p[:, :k], log_p[:, k + 1 :]], 1).logsumexp(1)
        found.append(detection(rest - log_p[:, k], labels != k).auroc)
    return found


def error_of_log_z(model: Frame, run: Run, digit: int) -> tuple[float, float]:
    """|tracked log Z − that of annealing| in nats and relative to it; log Z is that over the Gaussian."""
    reference, flat = model.ebm.reference, StandardNormal(*model.chains_now.shape[1:])
    assert isinstance(reference, Gaussian)
    found = log_z(
        lambda y: model.f(reference.color(y)) + flat.log_prob(y), flat, chains=32, temperatures=run.few(100, 3),
        settle=20, transition=HMC(1, 0.2, leapfrog_steps=5), rng=stream(run.seed, 0, digit, 1),
    )  # fmt: skip
    error = abs(float(model.log_z()) - found.value)
    return error, error / max(abs(found.value), 1.0)


@experiment(
    data="MNIST at 16×16: 200 training images per digit, each of mean 0 and variance 1; the first 3,000 test images",
    protocol="100 HMC chains and 300 for log Z, Adam with β1 .9; dense: 150 updates, four orientations; sparse: 100; "
    "settings chosen on seeds 10 and 11; log Z by annealed importance sampling of 32 chains at 100 temperatures, for "
    "the sparse models of three digits and the dense one of one, over the Gaussian of the class and relative to it",
    seeds=(0, 1, 2),
    minutes=4,
    bars={
        "dense, digits with AUC above nearest mean": at_least(10, "every digit"),
        "sparse, AUC below dense": at_most(0.02, "within .02"),
        "coefficients, sparse over dense": at_most(0.1, "a tenth"),
        "dense, log Z off annealing, relative": at_most(0.05, "within 5 %"),
        "sparse, log Z off annealing, relative": at_most(0.05, "within 5 %"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    digits = DIGITS[:2] if run.tiny else DIGITS
    columns: dict[str, list[Tensor]] = {"dense": [], "sparse": [], "nearest mean": [], "the Gaussians alone": []}
    off: dict[str, list[tuple[float, float]]] = {"dense": [], "sparse": []}
    sizes: dict[str, int] = {}
    sketches: list[Tensor] = []
    small = mnist16()
    test = small.split("test")
    assert test.labels is not None
    x, labels = test.head(run.few(TEST)), test.labels[: run.few(TEST)]
    x = (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)
    for digit in digits:
        for energy, given in FIELDS.items():
            base: Any = run.recipe("frame", small, label=f"{energy} {digit}", **given, **SHARED)
            recipe: Any = replace(base, label=str(digit), response_scale=()).resolve()
            model = run.train(recipe, f"{energy} {digit}").model
            assert isinstance(model, Frame)
            columns[energy].append(model.log_prob(x))
            if digit in ANNEALED[energy]:
                off[energy].append(error_of_log_z(model, run, digit))
            sizes[energy] = int(model.f.active.sum())
            if isinstance(model, SparseFrame):
                data = recipe.model_inputs(recipe.examples.batch(recipe.rows()).x)
                columns["nearest mean"].append(-0.5 * (x - data.mean(0)).square().flatten(1).sum(1))
                columns["the Gaussians alone"].append(model.ebm.reference.log_prob(x))
                sketches.append(torch.stack([data[0].clamp(-1, 1), data.mean(0).clamp(-1, 1), model.sketch(data)]))
    auc = {name: one_versus_rest(torch.stack(c, 1), labels) for name, c in columns.items()}
    means = {name: sum(each) / len(each) for name, each in auc.items()}
    if seed == 0:
        rows = dict(zip(("image", "mean", "sketch"), torch.stack(sketches, 1), strict=True))
        pictures.rows_with_labels(rows, run.images / "frame_digits.png", scale=4)
    above = {e: sum(a > b for a, b in zip(auc[e], auc["nearest mean"], strict=True)) for e in FIELDS}
    errors = {e: torch.tensor(o).mean(0).tolist() if o else [0.0, 0.0] for e, o in off.items()}
    return Figures(
        {
            **{f"{e}, mean AUC": means[e] for e in FIELDS},
            **{f"{e}, digits with AUC above nearest mean": above[e] for e in FIELDS},
            "sparse, AUC below dense": means["dense"] - means["sparse"],
            "coefficients, sparse over dense": sizes["sparse"] / sizes["dense"],
            **{f"{e}, log Z off annealing, nats": errors[e][0] for e in FIELDS},
            **{f"{e}, log Z off annealing, relative": errors[e][1] for e in FIELDS},
        },
        {f"{e}, mean AUC/{other}": means[other] for e in FIELDS for other in ("nearest mean", "the Gaussians alone")},
    )
