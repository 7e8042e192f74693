"""What the experiments on few labels share: train, classify, and what else the same labels give."""

from __future__ import annotations

from typing import Any

from absynth.experiments.harness import Run
from absynth.tasks.classify import class_log_prob, compute_baselines, labelled_examples, labels_alone

ALONE = 300
"""Updates of the inference network on the labels alone; it fits them all long before."""
NOTE = (
    "Labels are chosen by the seed, equally many per class. Baselines: the same labels; k nearest neighbours with "
    f"the best k of 1, 3 and 5 on the test examples; labels alone: {ALONE} updates."
)


def accuracy(run: Run, data: str, word: str = "") -> tuple[dict[str, float], dict[str, float]]:
    """Figures and baselines of symbol-vector coupling on a data set; ``word`` tells several sets apart."""
    opened = run.fit("symbol_vector", data, label=data)
    test = labelled_examples(opened, "test")
    chosen = class_log_prob(opened.model, test.x, batch=1000, device="cpu").argmax(1)
    ours = float((chosen == test.y).double().mean())
    others: dict[str, Any] = compute_baselines(opened)
    others["the same networks on labels alone"] = labels_alone(opened, run.few(ALONE, 3))
    suffix = f", {word}" if word else ""
    values = {
        f"test accuracy{suffix}": ours,
        f"points above labels alone{suffix}": 100 * (ours - others["the same networks on labels alone"]),
        f"points above the best of the others{suffix}": 100 * (ours - max(others.values())),
    }
    return values, {f"test accuracy{suffix}/{method}": value for method, value in others.items()}
