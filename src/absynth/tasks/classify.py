"""Classification: the class that a model gives to an example, compared with simple methods on the same labels.

Baselines use the labelled examples of the run and, for the principal components, all training examples:

* k nearest neighbours on 16 principal components, with the k of 1, 3 and 5 that is best on the test examples, which
  favours the baseline;
* logistic regression on the same components, weights penalized as scikit-learn's default does.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional
from torch.optim import LBFGS, Adam

from absynth.algorithms import Algorithm
from absynth.data.dataset import Split
from absynth.errors import Unsupported
from absynth.files import write_atomic
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import Opened, check_positive, in_chunks, open_run

TITLE = "Classification"
NEEDS = "a model that classifies, on data with labels"
REPORT: dict | None = {}

COMPONENTS = 16


def class_log_prob(model: Algorithm, x: Tensor, *, batch: int, device: torch.device | str) -> Float[Tensor, "n C"]:
    """log p(y|x) of each example, on the CPU."""
    with torch.no_grad():
        return torch.cat([model.classify(part.to(device)).cpu() for _, part in in_chunks(x, batch)])


def components(train: Float[Tensor, "n d"], rank: int) -> tuple[Float[Tensor, "d"], Float[Tensor, "d q"]]:
    """Mean and first principal directions of ``train``; at most as many as there are."""
    mean = train.double().mean(0)
    centred = train.double() - mean
    _, directions = torch.linalg.eigh(centred.T @ centred)  # ascending
    return mean, directions[:, -min(rank, train.shape[1]) :]


def nearest_neighbours(
    known: Float[Tensor, "m q"], y: Int64[Tensor, "m"], x: Float[Tensor, "n q"], k: int
) -> Int64[Tensor, "n"]:
    """The class that most of the k nearest labelled examples have; of equals, the one whose examples are nearer."""
    distance, index = torch.cdist(x, known).topk(min(k, len(known)), largest=False)
    votes = torch.zeros(len(x), int(y.max()) + 1, dtype=x.dtype)
    # A vote counts 1 and a little more the nearer it is: the little more only breaks ties.
    nearer = 1e-3 * (1 - distance / (distance.amax(1, keepdim=True) + 1e-30)) / k
    return votes.scatter_add_(1, y[index], 1 + nearer).argmax(1)


def logistic_regression(
    known: Float[Tensor, "m q"], y: Int64[Tensor, "m"], x: Float[Tensor, "n q"], classes: int
) -> Int64[Tensor, "n"]:
    """The most probable class by multinomial logistic regression, Σ −log p(y|x) + ½|W|² at its minimum."""
    scale = known.std(0).clamp(min=1e-12)
    weight = torch.zeros(known.shape[1], classes, dtype=known.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=known.dtype, requires_grad=True)
    optimizer = LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(known / scale @ weight + bias, y, reduction="sum")
        value = value + 0.5 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    return (x / scale @ weight + bias).argmax(1).detach()


def as_rows(x: Tensor) -> Float[Tensor, "n d"]:
    """Examples as a simple method takes them: rows of numbers; counts of words as logarithms of unit length."""
    if x.is_floating_point() and bool((x < 0).any()):
        return x.flatten(1)
    logs = x.flatten(1).double().log1p()
    return logs / torch.linalg.vector_norm(logs, dim=1, keepdim=True).clamp(min=1e-12)


def compute_baselines(opened: Opened) -> dict[str, float]:
    """Test accuracy of simple methods on the labels that the run used."""
    train, test = labelled_examples(opened, "train"), labelled_examples(opened, "test")
    rows = opened.full.labelled_rows()
    seen, y, truth, classes = as_rows(train.x), train.y[rows], test.y, len(opened.data.class_names)
    mean, directions = components(seen, COMPONENTS)
    q = directions.shape[1]
    known, x = ((as_rows(v).double() - mean) @ directions for v in (train.x[rows], test.x))

    def accuracy(found: Tensor) -> float:
        return float((found == truth).double().mean())

    return {
        f"nearest neighbours on PCA-{q}": max(accuracy(nearest_neighbours(known, y, x, k)) for k in (1, 3, 5)),
        f"logistic regression on PCA-{q}": accuracy(logistic_regression(known, y, x, classes)),
        "most frequent class": float(truth.bincount().max() / len(truth)),
    }


class Labelled(NamedTuple):
    """Examples as the model takes them, with their classes."""

    x: Tensor
    y: Tensor


def labelled_examples(opened: Opened, split: Split) -> Labelled:
    """The examples of a split that have a label; of the training split, all examples."""
    data = opened.examples(split)
    assert data.labels is not None
    x, y = opened.full.model_inputs(data.all()), data.labels
    keep = torch.ones_like(y, dtype=torch.bool) if split == "train" else y >= 0
    return Labelled(x[keep], y[keep])


def labels_alone(opened: Opened, updates: int, *, lr: float = 1e-3) -> float:
    """Test accuracy of the run's own networks if they learn to classify from the labels and nothing else.

    Args:
        opened: The run.
        updates: Number of updates of Adam, each on ``labelled_batch`` labelled examples.
        lr: Adam's learning rate.
    """
    recipe, train, test = opened.full, labelled_examples(opened, "train"), labelled_examples(opened, "test")
    rows, size = recipe.labelled_rows(), int(recipe.fields().get("labelled_batch", 50))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = recipe.algorithm().train()
        optimizer = Adam(model.parameters(), lr)
        for step in range(updates):
            rng = stream(recipe.seed, 0, step, COMPONENTS)
            again = rows[torch.randint(len(rows), (size,), generator=rng)]
            optimizer.zero_grad()
            functional.nll_loss(model.classify(train.x[again]), train.y[again]).backward()
            optimizer.step()
    found = class_log_prob(model.eval(), test.x, batch=1000, device="cpu").argmax(1)
    return float((found == test.y).double().mean())


def classify_file(opened: Opened, file: str, batch: int) -> TaskResult:
    """The classes of your own examples."""
    x, names = opened.inputs(file, 0)
    log_p = class_log_prob(opened.model, x, batch=batch, device=opened.device)
    probability, chosen = log_p.exp().max(1)
    classes = opened.data.class_names
    _write(opened.folder / "labels.csv", names, classes, chosen, probability)
    found = opened.result("Classes", f"The class of each of {len(x)} examples of {file}: labels.csv has all.")
    counts = chosen.bincount(minlength=len(classes)).tolist()
    rows = [[name, count] for name, count in zip(classes, counts)]
    found.add([{"caption": "Examples per class", "columns": ["class", "examples"], "rows": rows}])
    found.figures |= {"examples": len(x), "mean probability of the class": float(probability.mean())}
    return opened.save(found)


def measure(opened: Opened, batch: int) -> TaskResult:
    """Accuracy on the test split, with baselines and the confusion table."""
    test, classes = labelled_examples(opened, "test"), opened.data.class_names
    log_p = class_log_prob(opened.model, test.x, batch=batch, device=opened.device)
    chosen = log_p.argmax(1)
    names = opened.examples("test").names(torch.arange(len(test.y)))
    _write(opened.folder / "labels.csv", names, classes, chosen, log_p.exp().amax(1))
    text = (
        f"{len(test.y)} test examples that were not trained on; {len(opened.full.labelled_rows())} labels were. The "
        "class is the one that the model finds most probable. Baselines use the same labels."
    )
    found = opened.result("Classification", text)
    found.figures["test accuracy"] = float((chosen == test.y).double().mean())
    found.figures["test cross entropy, nats"] = float(functional.nll_loss(log_p, test.y))
    found.baselines["test accuracy"] = compute_baselines(opened)
    table = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    table.index_put_((test.y, chosen), torch.ones_like(chosen), accumulate=True)
    rows = [[name, *row] for name, row in zip(classes, table.tolist())]
    found.add([{"caption": "True class by row, chosen class by column", "columns": ["class", *classes], "rows": rows}])
    return opened.save(found)


def command(
    run: Path,
    input: str = "",
    batch: int = 500,
    data: str = "",
    out: Path | None = None,
    device: str = "auto",
) -> TaskResult:
    """Classify: accuracy on test examples with simple methods on the same labels, or the classes of your own examples.

    Args:
        run: Run directory.
        input: File or folder of your own examples, whose classes labels.csv will hold. Defaults to the test split.
        batch: Examples at once.
        data: Data of the run, if they moved since training.
        out: Folder for the result. Defaults to RUN/classify.
        device: auto, cpu, cuda.
    """
    check_positive(batch=batch)
    opened = open_run(run, device, task="classify", data=data, out=out)
    if not opened.data.class_names:
        raise Unsupported(f"classify needs data with labels, {run} is {opened.name} without")
    with torch.no_grad():  # a model that cannot classify says so before any work
        opened.model.classify(opened.inputs(input, 1)[0].to(opened.device))
    return classify_file(opened, input, batch) if input else measure(opened, batch)


def _write(path: Path, names: Sequence[str], classes: Sequence[str], chosen: Tensor, probability: Tensor) -> None:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["example", "class", "probability"])
    found = zip(names, chosen.tolist(), probability.tolist(), strict=True)
    writer.writerows([name, classes[k], f"{p:.6g}"] for name, k, p in found)
    write_atomic(path, out.getvalue())
