"""Two mixed tables: EBMDensity beside a Gaussian copula and energies of a classifier, by likelihood and by classifier.

A paired z of the log-likelihood ratio on test rows (Vuong, Econometrica 1989) compares densities; energies of a
classifier have none. A two-sample classifier tells new rows, rounded to the table's decimals, from test rows: an AUROC
of 1/2 is the best. Copies of training rows pass it too, so the distance to the nearest training row stands beside it:
that of new rows over that of test rows.
"""

from __future__ import annotations

import numpy as np
import torch

from absynth.experiments._table_rivals import Copula, classifier_energy_samples
from absynth.experiments._tables import regression_table
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.two_sample import classifier_two_sample_test
from absynth.sklearn import EBMDensity

TABLES = ("wine-quality-red", "bostonHousing")
COPULA, ENERGIES, ROWS = "Gaussian copula", "energies of a classifier", "training rows"


def told_apart(x: np.ndarray, test: np.ndarray, seed: int) -> float:
    """How far the two-sample classifier's AUROC is from 1/2, times 2."""
    found = classifier_two_sample_test(torch.from_numpy(x), torch.from_numpy(test), seed=seed)
    return abs(2 * found.auroc - 1)


def decimals(column: np.ndarray) -> int:
    """Decimals that a column's numbers are given with, at most 6."""
    return next((d for d in range(6) if np.allclose(column, column.round(d), rtol=0, atol=1e-9)), 6)


def nearest(rows: np.ndarray, train: np.ndarray) -> float:
    """Median distance to the nearest training row."""
    return float(torch.cdist(torch.from_numpy(rows), torch.from_numpy(train)).min(1).values.median())


@experiment(
    data="red wine quality (1,599 rows; 12 columns, one of 6 values) and Boston housing (506 rows; 14 columns, one of "
    "2 values, one of 9) of the UCI repository; halves for training and test",
    protocol="columns standardized by training rows; log-likelihood ratio: its mean over its standard error on test "
    "rows, columns of few values spread alike in both densities; gradient-boosted trees tell as many new rows as there "
    "are test rows from those, |2 AUROC − 1| on held-out halves",
    seeds=(0, 1, 2),
    minutes=2,
    bars={
        **{f"z of the log-likelihood ratio, {t}": at_least(1.96, "above the Gaussian copula") for t in TABLES},
        **{f"told apart over the copula's, {t}": at_most(1, "no easier to tell") for t in TABLES},
    },
)
def measure(seed: int, run: Run) -> Figures:
    values, baselines = {}, {}
    for name in ("wine",) if run.tiny else TABLES:
        x = regression_table(name)
        x = x[np.random.default_rng(seed).permutation(len(x))]
        digits, half = [decimals(column) for column in x.T], len(x) // 2
        mean, std = x[:half].mean(0), x[:half].std(0)
        train, test = ((part - mean) / std for part in (x[:half], x[half:]))

        def given(rows: np.ndarray, mean=mean, std=std, digits=digits) -> np.ndarray:
            columns = (rows * std + mean).T
            return (np.stack([c.round(d) for c, d in zip(columns, digits)], 1) - mean) / std

        ours = EBMDensity(random_state=seed, steps=5 if run.tiny else None).fit(train)
        copula, n = Copula(train, seed), len(test)
        mine, theirs = ours.score_samples(test), copula.log_density(test)
        ratio = mine - theirs
        new = {
            "": ours.sample(n),
            COPULA: copula.sample(n, seed),
            ENERGIES: classifier_energy_samples(train, n, seed, steps=5 if run.tiny else 200),
            ROWS: train[:n],
        }
        new = {k: given(rows) for k, rows in new.items()}
        figure, near = f"told apart, {name}", f"distance to training rows over test rows', {name}"
        told = {k: told_apart(rows, test, seed) for k, rows in new.items()}
        away = {k: nearest(rows, train) / nearest(test, train) for k, rows in new.items()}
        values |= {
            f"z of the log-likelihood ratio, {name}": float(ratio.mean() / (ratio.std(ddof=1) / n**0.5)),
            f"log-likelihood, {name}": float(mine.mean()),
            figure: told[""],
            f"told apart over the copula's, {name}": told[""] / told[COPULA],
            near: away[""],
        }
        baselines[f"log-likelihood, {name}/{COPULA}"] = float(theirs.mean())
        baselines |= {f"{figure}/{k}": v for k, v in told.items() if k}
        baselines |= {f"{near}/{k}": v for k, v in away.items() if k and k != ROWS}
    return Figures(values, baselines)
