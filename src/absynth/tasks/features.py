"""Features: what an energy network learned without labels, judged by a linear classifier on them.

The features are the responses of the layers of f, the largest of each block
(:func:`absynth.networks.pooled.pooled_features`). Logistic regression on their principal components is compared with
the same on the examples themselves, and on the features of a network with random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.errors import Unsupported
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.classify import as_rows, components, labelled_examples, logistic_regression
from absynth.tasks.opened import Opened, check_positive, in_chunks, open_run

TITLE = "Features for classification"
NEEDS = "a model with an energy network of layers over examples, on data with labels"
REPORT = {"n": 0}


def features_of(model: Algorithm, x: Tensor, *, batch: int, device: torch.device | str) -> Float[Tensor, "n d"]:
    """The features of each example, on the CPU."""
    return torch.cat([model.features(part.to(device)).cpu() for _, part in in_chunks(x, batch)])


def probe(
    train: Float[Tensor, "n d"], rows: Tensor, y: Tensor, test: Float[Tensor, "m d"], truth: Tensor, rank: int
) -> float:
    """Test accuracy of logistic regression on principal components.

    Args:
        train: Features of all training examples.
        rows: Those whose label is used.
        y: Their classes.
        test: Features of the test examples.
        truth: Their classes.
        rank: Number of principal components.
    """
    scale = train.std(0).clamp(min=1e-6)
    train, test = (train / scale).double(), (test / scale).double()
    rank = min(rank, len(train) - 1, train.shape[1])
    # With fewer examples than features their inner products have the same components and are a smaller matrix.
    if train.shape[1] > len(train):
        mean = train.mean(0)
        directions = torch.linalg.svd(train - mean, full_matrices=False)[2][:rank].T
    else:
        mean, directions = components(train, rank)
    known, x = (train[rows] - mean) @ directions, (test - mean) @ directions
    found = logistic_regression(known, y, x, int(max(y.max(), truth.max())) + 1)
    return float((found == truth).double().mean())


def linear_probes(
    opened: Opened, *, labels: int, rank: int, seed: int, batch: int, draws: int = 1
) -> tuple[float, dict[str, float]]:
    """Accuracy of a linear classifier on the features, and on what they are compared with.

    Args:
        opened: A run on data with labels.
        labels: Labelled examples of each class that the classifier sees; 0 is all.
        rank: Number of principal components.
        seed: Chooses the labelled examples, and the weights of the untrained network.
        batch: Examples at once.
        draws: Number of draws of the labelled examples, the same for all; accuracies are means over them.
    """
    train, test = labelled_examples(opened, "train"), labelled_examples(opened, "test")
    every = opened.full.labelled_rows()
    chosen = [every]
    if labels:
        orders = [every[torch.randperm(len(every), generator=stream(seed, 0, k, labels))] for k in range(draws)]
        classes = train.y[every].unique().tolist()
        chosen = [torch.cat([order[train.y[order] == k][:labels] for k in classes]) for order in orders]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        untrained = opened.recipe.algorithm().eval().to(opened.device)

    def accuracy(see: Callable[[Tensor], Tensor]) -> float:
        x, y = see(train.x), see(test.x)
        return sum(probe(x, rows, train.y[rows], y, test.y, rank) for rows in chosen) / len(chosen)

    def of(model: Algorithm) -> Callable[[Tensor], Tensor]:
        return lambda x: features_of(model, x, batch=batch, device=opened.device)

    return accuracy(of(opened.model)), {
        f"PCA-{rank} of the examples": accuracy(as_rows),
        "features of random weights": accuracy(of(untrained)),
        "most frequent class": float(test.y.bincount().max() / len(test.y)),
    }


def command(
    run: Path,
    n: int = 0,
    labels: int = 0,
    rank: int = 64,
    seed: int = 0,
    batch: int = 250,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Judge an energy network by a linear classifier on what its layers make of examples; writes features.npz.

    Args:
        run: Run directory.
        n: Number of training examples whose features are written; 0 writes all.
        labels: Labelled examples of each class that the classifier sees; 0 is all.
        rank: Number of principal components of the features that it sees.
        seed: Chooses the labelled examples.
        batch: Examples at once.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/features.
        device: auto, cpu, cuda.
    """
    check_positive(rank=rank, batch=batch)
    opened = open_run(run, device, task="features", data=data, out=out)
    if not opened.data.class_names:
        raise Unsupported(f"features needs data with labels, {run} is {opened.name} without")
    x = opened.examples("train").head(n or len(opened.examples("train")))
    found_features = features_of(opened.model, opened.full.model_inputs(x), batch=batch, device=opened.device)
    np.savez_compressed(opened.folder / "features.npz", x=found_features.numpy())
    accuracy, others = linear_probes(opened, labels=labels, rank=rank, seed=seed, batch=batch)
    text = (
        f"Logistic regression on {rank} principal components of {found_features.shape[1]} features, learned from "
        f"{f'{labels} labelled examples of each class' if labels else 'all labelled training examples'}; accuracy on "
        "the test split."
    )
    found = opened.result(TITLE, text, seed)
    found.figures["test accuracy"] = accuracy
    found.baselines["test accuracy"] = others
    return opened.save(found)
