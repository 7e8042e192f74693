"""Outliers in twelve tables: EBMDetector beside six detectors, all with their defaults."""

from __future__ import annotations

import time
import warnings

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.svm import OneClassSVM

from absynth.experiments._tables import DETECTION, ecod, halves, single_moves
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.sklearn import EBMDetector

RIVALS = {
    "IsolationForest": lambda seed: IsolationForest(random_state=seed),
    "LocalOutlierFactor": lambda seed: LocalOutlierFactor(novelty=True),
    "OneClassSVM": lambda seed: OneClassSVM(),
    "GaussianMixture": lambda seed: GaussianMixture(random_state=seed),
    "KernelDensity": lambda seed: KernelDensity(),
}


@experiment(
    data="twelve tables of ADBench, at most 10,000 rows each; half trains, with its outliers and without labels, the "
    "other half is tested",
    protocol="Defaults of every method; columns standardized by the training half. Prevalence is the share of outliers "
    "in test halves, the AUPRC of chance. Rank among seven methods, mean over tables. Moves: share of rows with "
    "one column moved by ten standard deviations that score above 95 % of the training rows, on the worst table. "
    "Settings were chosen on other shuffles of the same tables. ECOD ranks training and test rows together, as PyOD's "
    "does",
    seeds=(0, 1, 2),
    minutes=2,
    bars={
        "AUROC": at_least(0.915, "above all six"),
        "AUPRC": at_least(0.60, "above all six"),
        "rank by AUROC": at_most(3.25, "within .25 of the best of the six"),
        "rank by AUPRC": at_most(3.25, "within .25 of the best of the six"),
        "moves of one column found, worst table": at_least(0.95, "a detector must see one column"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    measured: dict[str, list[tuple[float, float]]] = {}
    prevalence, moves, seconds = [], [], []
    for name in ("breast_cancer",) if run.tiny else DETECTION:
        train, test, outlier = halves(name, seed)
        begun = time.perf_counter()
        ours = EBMDetector(random_state=seed, steps=3 if run.tiny else None).fit(train)
        seconds.append(time.perf_counter() - begun)
        scores = {"EBMDetector": -ours.score_samples(test), "ECOD": ecod(train, test)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores |= {n: -rival(seed).fit(train).score_samples(test) for n, rival in RIVALS.items()}
        for method, score in scores.items():
            score = np.clip(score, -1e300, 1e300)
            pair = roc_auc_score(outlier, score), average_precision_score(outlier, score)
            measured.setdefault(method, []).append(pair)
        usual = np.quantile(ours.score_samples(train), 0.05)
        moves.append(float((ours.score_samples(single_moves(train, seed)) < usual).mean()))
        prevalence.append(float(outlier.mean()))
    methods = list(measured)
    table = np.array([measured[m] for m in methods])  # methods, tables, (AUROC, AUPRC)
    means = table.mean(1)
    ranks = np.stack([[rankdata(-column) for column in table[..., k].T] for k in (0, 1)]).mean(1)
    values, baselines = {}, {}
    for k, figure in enumerate(("AUROC", "AUPRC")):
        for i, method in enumerate(methods):
            for name, value in ((figure, means[i, k]), (f"rank by {figure}", ranks[k, i])):
                if method == "EBMDetector":
                    values[name] = float(value)
                else:
                    baselines[f"{name}/{method}"] = float(value)
    values["moves of one column found, worst table"] = min(moves)
    values["prevalence"] = float(np.mean(prevalence))
    values["seconds of a fit"] = float(np.mean(seconds))
    return Figures(values, baselines)
