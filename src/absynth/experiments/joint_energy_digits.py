"""A joint energy model of 8×8 digits with five labels a class, against the same network by cross-entropy.

Anomalies are draws of the Gaussian of all training images, clamped to the range of the images: the law that the chains
start from, so log p has an advantage there that it would not have on anomalies of another kind.
"""

from __future__ import annotations

import torch
from torch import Tensor

from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.gaussian import Gaussian
from absynth.metrics.ranking import detection
from absynth.seeding import stream
from absynth.tasks.opened import Opened

SHORT = 1500
"""Updates after which cross-entropy alone is at its best, about: from there on it becomes too certain."""


def quality(opened: Opened) -> tuple[float, float, float]:
    """Accuracy, negative log-likelihood and expected calibration error (ten bins) on the test images."""
    test = opened.examples("test")
    assert test.labels is not None
    with torch.no_grad():
        log_p = opened.model.classify(test.all())
    right = log_p.argmax(1) == test.labels
    certainty = log_p.amax(1).exp()
    bins = (10 * certainty).long().clamp(max=9)
    gaps = [(right[bins == b].float() - certainty[bins == b]).sum().abs() for b in range(10)]
    return (
        float(right.float().mean()),
        float(-log_p.gather(1, test.labels[:, None]).mean()),
        float(torch.stack(gaps).sum() / len(right)),
    )


def aurocs(opened: Opened, seed: int) -> dict[str, float]:
    """How well each anomaly score tells test images from draws of the Gaussian."""
    x = opened.examples("test").all()
    fake = Gaussian.fit(opened.examples("train").all()).sample(len(x), stream(seed, 0, 0, 9)).clamp(-1, 1)
    anomaly: Tensor = torch.arange(2 * len(x)) >= len(x)
    scores = opened.model.anomaly_scores(torch.cat([x, fake])).scores
    return {name: detection(score, anomaly).auroc for name, score in scores.items()}


@experiment(
    data="scikit-learn's digits, 8×8; 50 labels, all training images unlabelled",
    protocol="4,000 updates of both; settings chosen on seeds 10 to 12; accuracy, negative log-likelihood and "
    "calibration on the test split; AUROC of test images against as many clamped draws of the training images' "
    "Gaussian",
    seeds=(0, 1, 2, 3, 4),
    minutes=2,
    bars={
        "points of accuracy above cross-entropy": at_least(2.0, "two points"),
        "negative log-likelihood over cross-entropy's": at_most(0.5, "half"),
        "AUROC of log p above that of max-softmax": at_least(0.0, "the classifier's own score"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    ours = run.fit("joint_energy", "digits", label="joint")
    plain = run.fit("joint_energy", "digits", label="cross-entropy", density_weight=0.0)
    short = run.fit("joint_energy", "digits", label="cross-entropy, short", density_weight=0.0, steps=SHORT)
    (accuracy, nll, ece), (accuracy_0, nll_0, ece_0) = quality(ours), quality(plain)
    found, known = aurocs(ours, seed), aurocs(plain, seed)
    of_p = found["−log p(x)"]
    return Figures(
        {
            "accuracy": accuracy,
            "negative log-likelihood": nll,
            "calibration error": ece,
            "AUROC of log p": of_p,
            "AUROC of the gradient norm": found["‖∇ log p(x)‖"],
            "points of accuracy above cross-entropy": 100 * (accuracy - accuracy_0),
            "negative log-likelihood over cross-entropy's": nll / nll_0,
            "AUROC of log p above that of max-softmax": of_p - known["−max log p(y|x)"],
        },
        {
            "accuracy/cross-entropy": accuracy_0,
            "negative log-likelihood/cross-entropy": nll_0,
            "negative log-likelihood/cross-entropy of 1,500 updates": quality(short)[1],
            "calibration error/cross-entropy": ece_0,
            "AUROC of log p/max-softmax of cross-entropy": known["−max log p(y|x)"],
        },
    )
