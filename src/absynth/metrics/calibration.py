"""Calibration of class probabilities: does an event of probability p happen in a share p of the cases?

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from absynth.errors import InputError


@dataclass(frozen=True)
class Calibration:
    """Calibration of a classifier.

    Attributes:
        error: Expected calibration error: the mean over examples of |accuracy − confidence| of their bin.
        largest: The largest |accuracy − confidence| of a bin.
        brier: Mean squared distance between the probabilities and the one-hot label, in [0, 2].
        nll: Mean −log p(y|x), nats.
        confidence: Mean confidence of each bin that has examples.
        accuracy: Accuracy of each such bin.
        counts: Examples of each such bin.
    """

    error: float
    largest: float
    brier: float
    nll: float
    confidence: list[float]
    accuracy: list[float]
    counts: list[int]


def calibration(
    log_probs: Float[Tensor, "n C"],
    y: Int[Tensor, "n"],
    bins: int = 15,
    *,
    edges: Literal["width", "mass"] = "width",
) -> Calibration:
    """Compare the confidence of a classifier with its accuracy.

    The error is biased upwards by about √(bins / n) even for a perfect classifier.

    Args:
        log_probs: log p(y|x) of every class; normalized here, so logits serve too.
        y: Classes.
        bins: Number of bins of the confidence.
        edges: Bins of equal width on [0, 1], or with equally many examples.

    Raises:
        InputError: Shapes do not match, there are no examples, or ``bins`` is not positive.
    """
    if log_probs.ndim != 2 or y.shape != log_probs.shape[:1] or not len(y) or bins < 1:
        raise InputError(
            f"expected log_probs [n, C], y [n] and bins >= 1, got {list(log_probs.shape)}, {list(y.shape)} and {bins}"
        )
    log_p = log_probs.detach().double().log_softmax(1)
    p = log_p.exp()
    confidence, guess = p.max(1)
    hit = (guess == y).double()
    if edges == "width":
        which = (confidence * bins).ceil().long().clamp(1, bins) - 1
    else:
        rank = torch.empty_like(guess)
        rank[confidence.argsort()] = torch.arange(len(y), device=y.device)
        which = rank * bins // len(y)
    counts = which.bincount(minlength=bins)
    some = counts > 0
    mean = [torch.zeros(bins, dtype=p.dtype, device=p.device).index_add(0, which, v) for v in (confidence, hit)]
    conf, acc = (m[some] / counts[some] for m in mean)
    gap = (acc - conf).abs()
    one_hot = torch.nn.functional.one_hot(y, p.shape[1])
    return Calibration(
        error=float((gap * counts[some]).sum() / len(y)),
        largest=float(gap.max()),
        brier=float((p - one_hot).square().sum(1).mean()),
        nll=float(-log_p.gather(1, y[:, None]).mean()),
        confidence=conf.tolist(),
        accuracy=acc.tolist(),
        counts=counts[some].tolist(),
    )
