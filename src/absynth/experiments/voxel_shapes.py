"""Chairs and monitors: recovery of hidden voxels, super-resolution, features for classification, samples.

Multi-grid energies of voxels (Xie et al. 2018) on ModelNet's chairs and monitors at 16³, from 4³ on. Where voxels are
hidden at random a linear-Gaussian conditional is hard to beat, so half a shape is hidden in one piece too.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from absynth.data.hidden import Hidden, hidden
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.seeding import stream
from absynth.tasks.features import linear_probes
from absynth.tasks.inpaint import compute_baselines, inpaint
from absynth.tasks.observed import wrong_share
from absynth.tasks.opened import Opened
from absynth.tasks.sample import samples
from absynth.tasks.super_resolve import blocks, coarse, super_resolve

HOLES: dict[str, tuple[Hidden, float]] = {"70 % of the voxels": ("pixels", 0.7), "one half": ("block", 0.5)}
N, DRAWS, FACTOR = 80, 4, 4
LABELS, COMPONENTS, PROBES = {5: "5", 20: "20", 0: "all"}, 16, 20
PROBE, ABOVE = "accuracy with {} labels of each class", "{}, above PCA"


def gaussian_conditional(
    x: Float[Tensor, "n 1 d h w"], hole: Bool[Tensor, "1 d h w"], train: Float[Tensor, "m 1 d h w"], ridge: float = 3.0
) -> Float[Tensor, "n 1 d h w"]:
    """The mean of what is hidden given what is seen, under the Gaussian of the training shapes and a ridge.

    In the dual form, for there are fewer shapes than voxels.
    """
    flat, seen = train.flatten(1).double(), ~hole.flatten()
    mean = flat.mean(0)
    centred = flat - mean
    known = centred[:, seen]
    inner = known @ known.T + ridge * len(train) * torch.eye(len(train), dtype=known.dtype)
    weights = torch.linalg.solve(inner, known @ (x.flatten(1).double() - mean)[:, seen].T)
    filled = (mean + weights.T @ centred).float().view_as(x)
    return torch.where(hole, filled, x)


def nearest_overlap(x: Float[Tensor, "n 1 d h w"], train: Float[Tensor, "m 1 d h w"]) -> float:
    """Mean over x of the overlap (intersection over union) with the training shape that overlaps most."""
    a, b = ((v > 0).flatten(1).float() for v in (x, train))
    both = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1) - both
    return float((both / union.clamp(min=1)).max(1).values.mean())


def recovery(
    opened: Opened, test: Float[Tensor, "n 1 d h w"], train: Float[Tensor, "m 1 d h w"], run: Run
) -> tuple[dict[str, float], dict[str, float]]:
    """Figures and baselines of a model that completes test shapes."""
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for name, (kind, share) in HOLES.items():
        hole = hidden(test.shape[2:], kind, share, rng=stream(run.seed, 0, 0, 31), whole=True)
        draws = inpaint(opened, test, hole, DRAWS, seed=run.seed)
        others = compute_baselines(test, hole, train, "voxels")
        others["Gaussian conditional"] = gaussian_conditional(test, hole, train)
        figure, found = f"wrong of {name}", wrong_share(draws.mean(0), test, hole)
        wrong = {other: wrong_share(x, test, hole) for other, x in others.items()}
        values[figure] = found
        baselines |= {f"{figure}/{other}": v for other, v in wrong.items()}
        values |= {
            f"{figure}, over mean fill's": found / wrong["mean training shape"],
            f"{figure}, over nearest's": found / wrong["nearest training shape"],
            f"{figure}, over the Gaussian's": found / wrong["Gaussian conditional"],
        }
        seen = torch.where(hole, -1.0, test)
        rows = {"shape": test, "observed": seen, "recovered": draws.mean(0)} | others
        file = run.images / f"recovered_{kind}_{run.seed}.png"
        opened.data.compare({k: v[::8][:10] for k, v in rows.items()}, file)
    return values, baselines


def probes(opened: Opened, run: Run) -> tuple[dict[str, float], dict[str, float]]:
    """What a linear classifier on features of the energy is worth: figures and baselines of an experiment."""
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for labels, words in LABELS.items():
        figure, draws = PROBE.format(words), run.few(PROBES, 2)
        accuracy, others = linear_probes(
            opened, labels=labels, rank=COMPONENTS, seed=run.seed, batch=250, draws=draws if labels else 1
        )
        values |= {figure: accuracy, ABOVE.format(figure): accuracy - others[f"PCA-{COMPONENTS} of the examples"]}
        baselines |= {f"{figure}/{name}": value for name, value in others.items()}
    return values, baselines


PROTOCOL = (
    f"Features: logistic regression on {COMPONENTS} principal components of pooled responses, 5, 20 or all labelled "
    f"shapes of each class, mean over {PROBES} draws of them, all test shapes"
)
ABOVE_PCA = {ABOVE.format(PROBE.format(words)): at_least(0.0, "above PCA of raw voxels") for words in LABELS.values()}


@experiment(
    data="ModelNet10's chairs and monitors at 16³, 1,221 to train on, the first 80 of 133 test shapes",
    protocol="multi-grid, preset modelnet10 (4³, 8³, 16³). Recovery: share of the hidden voxels that are wrong in the "
    f"mean of {DRAWS} draws, read off at 0. Super-resolution from means of 4³ blocks: the same over all voxels, and "
    f"the largest error of a block's mean in a draw. {PROTOCOL}. Samples: overlap with the nearest training shape; "
    "draws with independent voxels and test shapes say what that is worth",
    seeds=(0, 1),
    minutes=4,
    bars={
        "wrong of 70 % of the voxels, over mean fill's": at_most(0.3, "under .3 of mean fill"),
        "wrong of 70 % of the voxels, over nearest's": at_most(1.0, "below the nearest by visible voxels"),
        "wrong of one half, over the Gaussian's": at_most(1.0, "below the Gaussian conditional"),
        "largest error of a block's mean": at_most(1e-4, "block means are kept"),
        "super-resolution, wrong voxels over repeated blocks'": at_most(1.0, "better than repeated blocks"),
    }
    | ABOVE_PCA,
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("multigrid", "modelnet10", size=16)
    train, test = opened.examples("train").all(), opened.examples("test").head(run.few(N, 10))
    values, baselines = recovery(opened, test, train, run)
    y = coarse(test, FACTOR)
    fine = super_resolve(opened, y, FACTOR, DRAWS, seed=seed)
    values["largest error of a block's mean"] = float((coarse(fine[0], FACTOR) - y).abs().max())
    figure, found = "super-resolution, wrong voxels", wrong_share(fine.mean(0), test)
    repeated = wrong_share(blocks(y, FACTOR), test)
    smooth = torch.nn.functional.interpolate(y, size=test.shape[2:], mode="trilinear")
    values |= {figure: found, f"{figure} over repeated blocks'": found / max(repeated, 1e-9)}
    baselines |= {f"{figure}/repeated blocks": repeated, f"{figure}/trilinear": wrong_share(smooth, test)}

    ours, others = probes(opened, run)
    values |= ours
    baselines |= others

    x = samples(opened.model, run.few(40, 8), seed=seed)
    mean = train.mean(0, keepdim=True)
    independent = 2 * (torch.rand(len(x), *mean.shape[1:], generator=stream(seed, 0, 0, 32)) < (mean + 1) / 2).float()
    values["overlap of samples with the nearest shape"] = nearest_overlap(x, train)
    baselines |= {
        "overlap of samples with the nearest shape/test shapes": nearest_overlap(test, train),
        "overlap of samples with the nearest shape/independent voxels": nearest_overlap(independent - 1, train),
    }
    opened.data.show(x, run.images / "samples.png")
    return Figures(values, baselines)
