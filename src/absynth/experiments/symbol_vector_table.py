"""Tables from few labels by symbol-vector coupling, and what the same labels give without it."""

from __future__ import annotations

from absynth.experiments._few_labels import NOTE, accuracy
from absynth.experiments.harness import Figures, Run, at_least, experiment


@experiment(
    data="scikit-learn's digits as a table of 64 columns (50 labels) and breast cancer of 30 columns (20 labels); a "
    "fixed fifth of the rows is the test set",
    protocol="500 updates of 50 labelled and 150 unlabelled rows; z of 8; numbers chosen on a tenth of the rows that "
    f"is set aside. {NOTE}",
    seeds=(0, 1),
    minutes=1,
    bars={"points above labels alone, digits": at_least(0.0, "unlabelled rows must not hurt")},
)
def measure(seed: int, run: Run) -> Figures:
    digits, cancer = accuracy(run, "digits_table", "digits"), accuracy(run, "breast_cancer", "breast cancer")
    return Figures(digits[0] | cancer[0], digits[1] | cancer[1])
