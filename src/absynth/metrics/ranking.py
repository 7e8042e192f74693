"""How well a score ranks anomalies above normal examples.

One sign everywhere on this page: **anomaly is the positive class, and a higher score is more anomalous**. The energy
−log density has this sign; a log density, and scikit-learn's ``score_samples``, have the opposite one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from absynth.errors import InputError


@dataclass(frozen=True)
class Detection:
    """What a ranking is worth. Read ``auprc`` beside ``base_rate``: that is what random scores reach."""

    auprc: float
    """Average precision, Σ (recall_k − recall_{k−1}) precision_k: the area under the curve taken as steps."""
    auroc: float
    """The probability that an anomaly scores higher than a normal example, ties counting one half; random is 0.5."""
    base_rate: float
    """The share of anomalies among the examples."""
    n_normal: int
    n_anomaly: int


def detection(scores: Float[Tensor, "n"], anomaly: Bool[Tensor, "n_labels"]) -> Detection:
    """Rank examples by score and compare with the truth.

    Args:
        scores: one number an example, higher is more anomalous.
        anomaly: True where the example is an anomaly (the positive class).

    Raises:
        InputError: lengths differ, only one class is present, or a score is not finite.

    >>> detection(torch.tensor([0.1, 0.2, 0.9]), torch.tensor([False, False, True]))
    Detection(auprc=1.0, auroc=1.0, base_rate=0.333..., n_normal=2, n_anomaly=1)
    """
    from sklearn.metrics import average_precision_score, roc_auc_score  # half a second that few commands need

    _check(scores, anomaly)
    s, y = scores.detach().double().cpu().numpy(), anomaly.cpu().numpy()
    return Detection(
        auprc=float(average_precision_score(y, s)),
        auroc=float(roc_auc_score(y, s)),
        base_rate=float(y.mean()),
        n_normal=int((~y).sum()),
        n_anomaly=int(y.sum()),
    )


def precision_recall(
    scores: Float[Tensor, "n"], anomaly: Bool[Tensor, "n_labels"]
) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"]]:
    """The precision-recall curve: (precision, recall), recall increasing from 0, where precision is 1 by convention.

    Point i is the rule "report what scores at least the i-th highest distinct score". Arguments and errors as in
    :func:`detection`; float64 on the CPU.

    >>> precision_recall(torch.tensor([0.1, 0.2, 0.9]), torch.tensor([True, False, True]))
    (tensor([1.0000, 1.0000, 0.5000, 0.6667], dtype=torch.float64),
     tensor([0.0000, 0.5000, 0.5000, 1.0000], dtype=torch.float64))
    """
    from sklearn.metrics import precision_recall_curve

    _check(scores, anomaly)
    precision, recall, _ = precision_recall_curve(anomaly.cpu().numpy(), scores.detach().double().cpu().numpy())
    return torch.tensor(precision[::-1].copy()), torch.tensor(recall[::-1].copy())


def pca_reconstruction_error(
    train: Float[Tensor, "n d"], test: Float[Tensor, "m d_test"], rank: int
) -> Float[Tensor, "m"]:
    """The baseline a detector has to beat: squared distance from the first principal components of ``train``.

    Args:
        train: normal examples.
        test: examples to score, higher is more anomalous.
        rank: number of components kept, 0 to min(n, d).

    Raises:
        InputError: dimensions differ, or rank is out of range.
    """
    n, d = train.shape
    if test.shape[1] != d:
        raise InputError(f"test examples must have the dimension of train, expected {d}, got {test.shape[1]}")
    if not 0 <= rank <= min(n, d):
        raise InputError(f"rank must lie between 0 and min(n, d) = {min(n, d)}, got {rank}: keep fewer components")
    mean = train.double().mean(0)
    deviations = train.double() - mean
    _, components = torch.linalg.eigh(deviations.T @ deviations)  # ascending; d × d is far smaller than n × d
    kept = components[:, d - rank :]
    centred = test.double() - mean
    residual = centred - centred @ kept @ kept.T
    return residual.square().sum(1).to(test.dtype)


def _check(scores: Tensor, anomaly: Tensor) -> None:
    if len(scores) != len(anomaly):
        raise InputError(f"anomaly must have one label a score, expected {len(scores)}, got {len(anomaly)}")
    if not scores.isfinite().all():
        raise InputError("scores must be finite, got NaN or infinity: a ranking of them would mean nothing")
    if anomaly.all() or not anomaly.any():
        raise InputError(
            f"both classes are needed, got {int(anomaly.sum())} anomalies among {len(anomaly)} examples: "
            "add the missing class"
        )
