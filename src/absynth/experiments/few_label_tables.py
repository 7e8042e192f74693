"""Few labels in five tables: JEMClassifier beside logistic regression and label spreading."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading

from absynth.experiments._tables import detection_table
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.sklearn import JEMClassifier

LABELS = 50
TABLES = {
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
}


def few_labels(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(training rows, their classes or −1, test rows, their classes): 50 labels, at least two a class; 30 % are
    tested."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    x, y, cut = x[order], y[order], len(x) * 7 // 10
    mean, std = x[:cut].mean(0), x[:cut].std(0)
    x = (x - mean) / np.where(std > 0, std, 1.0)
    known = [i for c in np.unique(y[:cut]) for i in rng.choice(np.flatnonzero(y[:cut] == c), 2, replace=False)]
    rest = np.setdiff1d(np.arange(cut), known)
    known += rng.choice(rest, LABELS - len(known), replace=False).tolist()
    given = np.full(cut, -1)
    given[known] = y[known]
    return x[:cut], given, x[cut:], y[cut:]


@experiment(
    data="scikit-learn's digits, wine and breast cancer, and ionosphere and breastw of ADBench",
    protocol="Accuracy on 30 % of the rows; 50 labels, all other training rows without; defaults of every method. "
    "LabelSpreading (nearest neighbours) is its other kernel",
    seeds=(0, 1, 2, 3, 4),
    minutes=1,
    bars={"tables above the better of both": at_least(3, "rows without labels help on three tables, mean over seeds")},
)
def measure(seed: int, run: Run) -> Figures:
    tables = {n: (read().data, read().target) for n, read in TABLES.items()}
    if not run.tiny:
        tables |= {n: detection_table(f) for n, f in (("ionosphere", "18_Ionosphere"), ("breastw", "4_breastw"))}
    values, baselines, above = {}, {}, 0
    for name, (x, y) in tables.items():
        train, given, test, truth = few_labels(x, y, seed)
        known = given >= 0
        ours = JEMClassifier(random_state=seed, steps=3 if run.tiny else None).fit(train, given).score(test, truth)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            others = {
                "LogisticRegression": LogisticRegression(max_iter=2000).fit(train[known], given[known]),
                "LabelSpreading": LabelSpreading().fit(train, given),
                "LabelSpreading (nearest neighbours)": LabelSpreading(kernel="knn").fit(train, given),
            }
            scores = {m: float(rival.score(test, truth)) for m, rival in others.items()}
        values[f"accuracy, {name}"] = float(ours)
        baselines |= {f"accuracy, {name}/{m}": v for m, v in scores.items()}
        above += ours > max(scores["LogisticRegression"], scores["LabelSpreading"])
    values["tables above the better of both"] = above
    return Figures(values, baselines)
