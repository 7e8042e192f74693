"""The held-out figure of a run: the saved weights are chosen by it among the checkpoints, and training stops early."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.algorithms.algorithm import ENERGY_DIFFERENCE
from absynth.data.further import FurtherExamples
from absynth.errors import InputError
from absynth.metrics.kernel import mmd
from absynth.seeding import stream
from absynth.types import Batch

Figure = Literal["", "samples", "labels", "loss"]
"""Which held-out figure: kernel discrepancy of samples, log loss of labels, or the method's loss."""

_EXAMPLES = 1000
"""At most so many validation examples are looked at: a figure costs less than the updates between two of them."""
_STREAM = int.from_bytes(b"figure", "big")  # every checkpoint is measured with the same noise


class HeldOut:
    """A figure of a model on the validation split; lower is better.

    * samples: the squared kernel discrepancy between samples and validation examples, with bandwidths of one half, one
      and two median distances of the examples. For every method that samples arrays of one shape.
    * labels: the log loss of the class, in nats, over labelled validation examples.
    * loss: the losses of the players, summed, without those that are energy differences, which say nothing.

    Args:
        recipe: The recipe on its open data.
        device: Where the model is.

    Raises:
        InputError: The data have no validation split, or none that this figure can be computed on; the recipe's
            ``validation_data`` cannot be read.
    """

    def __init__(self, recipe: Any, device: torch.device) -> None:
        self.recipe, self.device, self.name = recipe, device, recipe.select_by
        given, known = recipe.validation_data, recipe.examples
        self.held = FurtherExamples(known, given) if given else known.split("validation")
        size = len(self.held) or _EXAMPLES
        rows = torch.arange(size)[:: max(1, -(-size // _EXAMPLES))]
        if self.name == "labels":
            if self.held.labels is None or not bool((self.held.labels >= 0).any()):
                raise InputError(
                    "--select-by labels needs labelled validation examples, got none: give --validation 0.1"
                )
            rows = rows[self.held.labels[rows] >= 0]
        self.rows = rows

    def figure(self, algorithm: Algorithm) -> float:
        """The figure of a model, which is left in evaluation mode.

        Raises:
            Unsupported: The model cannot do what the figure needs.
        """
        algorithm.eval()
        if self.name == "labels":
            return self._labels(algorithm)
        return self._samples(algorithm) if self.name == "samples" else self._loss(algorithm)

    def _labels(self, algorithm: Algorithm) -> float:
        total = 0.0
        for part in self.rows.split(500):
            batch = self.held.batch(part)
            assert batch.y is not None
            x = self.recipe.model_inputs(batch.x).to(self.device)
            with torch.no_grad():
                found = algorithm.classify(x).log_softmax(1).cpu()
            total -= float(found[torch.arange(len(part)), batch.y].sum())
        return total / len(self.rows)

    def _samples(self, algorithm: Algorithm) -> float:
        real = self.held.batch(self.rows).x.flatten(1).double()
        c = self.recipe.conditions(len(real))
        drawn = []
        for part in torch.arange(len(real)).split(500):
            given = None if c is None else c[part].to(self.device)
            rng = stream(self.recipe.seed, 0, int(part[0]), _STREAM, device=self.device)
            drawn.append(algorithm.sample(len(part), given, rng=rng).detach().cpu().flatten(1))
        x = torch.cat(drawn).double()
        if x.shape[1] != real.shape[1]:
            unit = self.held.unit
            raise InputError(f"--select-by samples needs samples shaped like {unit}, got others: use --select-by loss")
        middle = float(torch.pdist(real).median())
        return mmd(x, real, [middle / 2, middle, 2 * middle]) if x.isfinite().all() else float("inf")

    def _loss(self, algorithm: Algorithm) -> float:
        size = min(self.recipe.batch, len(self.held) or self.recipe.batch)
        recipe = replace(self.recipe, dataset=self.held, batch=size, shards=1)
        batches, count = recipe.batches(), max(1, min(_EXAMPLES, len(self.held) or _EXAMPLES) // size)
        means = algorithm.explain_metrics()
        total = 0.0
        for k in range(count):
            found = next(batches)
            parts = (found,) if isinstance(found, Batch) else found
            given = [part.slice(0, 1, self.device) for part in parts]
            rng = stream(self.recipe.seed, 0, k, _STREAM, device=self.device)
            losses = algorithm.losses(*[each._replace(index=None) for each in given], rng=rng)
            counted = [loss.detach() for name, loss in losses.items() if means.get(name) != ENERGY_DIFFERENCE]
            if not counted:
                raise InputError("--select-by loss needs a loss that falls, got energy differences: use samples")
            total += float(torch.stack(counted).sum()) / count
        return total


class Best:
    """The best weights so far, part of every checkpoint of a run that selects.

    Args:
        step: Update of the best figure.
        figure: That figure.
        since: Number of checkpoints that were measured after it.
        weights: The weights.
    """

    def __init__(self, step: int, figure: float, since: int, weights: dict[str, Tensor]) -> None:
        self.step, self.figure, self.since, self.weights = step, figure, since, weights

    def after(self, step: int, figure: float, weights: dict[str, Tensor]) -> Best:
        """The best of these and the weights of one checkpoint more; NaN is never better."""
        if figure < self.figure:
            return Best(step, figure, 0, {k: v.detach().cpu().clone() for k, v in weights.items()})
        return Best(self.step, self.figure, self.since + 1, self.weights)
