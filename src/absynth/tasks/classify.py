"""Classification: the symbol that a model gives to an example, beside what the same labels give without a model.

Baselines see the labelled examples of the run and, for the principal components, all training examples:

* k nearest neighbours on 16 principal components, with the k of 1, 3 and 5 that is best on the test examples: a gift.
* logistic regression on the same components, weights penalized as scikit-learn's default does.
"""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional
from torch.optim import LBFGS, Adam

from absynth.errors import InputError
from absynth.files import write_atomic
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import in_chunks, open_run, result

COMPONENTS = 16


def class_log_prob(model: Any, x: Tensor, *, batch: int, device: torch.device | str) -> Float[Tensor, "n C"]:
    """log p(y|x) of each example, as the model's ``classify`` has it, on the CPU."""
    with torch.no_grad():
        return torch.cat([model.classify(part.to(device)).cpu() for _, part in in_chunks(x, batch)])


def components(train: Float[Tensor, "n d"], rank: int) -> tuple[Float[Tensor, "d"], Float[Tensor, "d q"]]:
    """Mean and first principal directions of ``train``; as many as there are, if ``rank`` asks for more."""
    mean = train.double().mean(0)
    centred = train.double() - mean
    _, directions = torch.linalg.eigh(centred.T @ centred)  # ascending
    return mean, directions[:, -min(rank, train.shape[1]) :]


def nearest_neighbours(
    known: Float[Tensor, "m q"], y: Int64[Tensor, "m"], x: Float[Tensor, "n q"], k: int
) -> Int64[Tensor, "n"]:
    """The class that most of the k nearest labelled examples have; between equals, that of the nearer ones' sum."""
    distance, index = torch.cdist(x, known).topk(min(k, len(known)), largest=False)
    votes = torch.zeros(len(x), int(y.max()) + 1, dtype=x.dtype)
    # A vote counts 1 and a little more the nearer it is: the little more decides between equals alone.
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


def baselines(recipe: Any) -> dict[str, float]:
    """Test accuracy of what the run's labels give without a model."""
    train, test = recipe.examples("train"), recipe.examples("test")
    rows = recipe.labelled(train)
    seen, y = recipe.plain(train.x), train.y[rows]
    mean, directions = components(seen, COMPONENTS)
    q = directions.shape[1]
    known, x = ((recipe.plain(v).double() - mean) @ directions for v in (train.x[rows], test.x))

    def accuracy(found: Tensor) -> float:
        return float((found == test.y).double().mean())

    return {
        f"nearest neighbours on PCA-{q}": max(accuracy(nearest_neighbours(known, y, x, k)) for k in (1, 3, 5)),
        f"logistic regression on PCA-{q}": accuracy(logistic_regression(known, y, x, len(train.classes))),
        "most frequent class": float(test.y.bincount().max() / len(test.y)),
    }


def labels_alone(recipe: Any, updates: int, *, rate: float = 1e-3) -> float:
    """Test accuracy of the run's own inference network and F when they learn from the labels and nothing else.

    Args:
        recipe: of the run.
        updates: of Adam, each on ``labelled_batch`` of the labelled examples.
        rate: Adam's.
    """
    train, test = recipe.examples("train"), recipe.examples("test")
    rows = recipe.labelled(train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = recipe.algorithm().train()
        players = [*model.inference.parameters(), *model.prior.parameters()]
        optimizer = Adam(players, rate)
        for step in range(updates):
            rng = stream(recipe.seed, 0, step, COMPONENTS)
            again = rows[torch.randint(len(rows), (recipe.labelled_batch,), generator=rng)]
            optimizer.zero_grad()
            functional.nll_loss(model.classify(train.x[again]), train.y[again]).backward()
            optimizer.step()
    found = class_log_prob(model.eval(), test.x, batch=1000, device="cpu").argmax(1)
    return float((found == test.y).double().mean())


def command(run: Path, file: str = "", batch: int = 500, device: str = "auto") -> TaskResult:
    """Classify: accuracy on test examples beside simple methods on the same labels, or the classes of your own.

    Args:
        run: directory of a trained run.
        file: your own examples (pictures, a text file, a CSV, as the run was trained on), whose classes labels.csv will
            hold; empty: the test examples.
        batch: examples at once.
        device: auto, cpu, cuda.
    """
    opened = open_run(run, device)
    recipe: Any = opened.recipe
    if not hasattr(opened.model, "classify") or not hasattr(recipe, "labelled"):
        raise InputError(f"this task needs a model of classes, {run} is {recipe.name()}: train a symbol_vector recipe")
    classes, folder = recipe.examples("test").classes, opened.folder("classify")
    if file:
        x = recipe.unseen(Path(file).expanduser())
        log_p = class_log_prob(opened.model, x, batch=batch, device=opened.device)
        probability, chosen = log_p.exp().max(1)
        _write(folder / "labels.csv", classes, chosen, probability)
        found = result(
            "classify", "Classes", 0, f"The class of each of {len(x)} examples of {file}: labels.csv has all."
        )
        counts = chosen.bincount(minlength=len(classes)).tolist()
        found.add(
            [
                {
                    "caption": "How many of each",
                    "columns": ["class", "examples"],
                    "rows": [*map(list, zip(classes, counts))],
                }
            ]
        )
        found.figures |= {"examples": len(x), "mean probability of the class": float(probability.mean())}
        found.save(folder)
        return found
    test = recipe.examples("test")
    log_p = class_log_prob(opened.model, test.x, batch=batch, device=opened.device)
    chosen = log_p.argmax(1)
    _write(folder / "labels.csv", classes, chosen, log_p.exp().amax(1))
    known = len(recipe.labelled(recipe.examples("train")))
    text = (
        f"{len(test.y)} test examples that were not trained on; {known} labels were. The class is the most probable "
        "symbol at the mean of the inference model. Baselines use the same labels."
    )
    found = result("classify", "Classification", 0, text)
    found.figures["test accuracy"] = float((chosen == test.y).double().mean())
    found.figures["test cross entropy, nats"] = float(functional.nll_loss(log_p, test.y))
    found.baselines["test accuracy"] = baselines(recipe)
    table = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    table.index_put_((test.y, chosen), torch.ones_like(chosen), accumulate=True)
    rows = [[name, *row] for name, row in zip(classes, table.tolist())]
    found.add([{"caption": "True class by row, chosen class by column", "columns": ["class", *classes], "rows": rows}])
    found.save(folder)
    return found


def _write(path: Path, classes: tuple[str, ...], chosen: Tensor, probability: Tensor) -> None:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["example", "class", "probability"])
    writer.writerows([i, classes[k], f"{p:.6g}"] for i, (k, p) in enumerate(zip(chosen.tolist(), probability.tolist())))
    write_atomic(path, out.getvalue())
