"""Missing entries of three tables: EBMImputer beside IterativeImputer."""

from __future__ import annotations

import numpy as np
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer

from absynth.experiments._tables import regression_table
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.sklearn import EBMImputer

TABLES = ("bostonHousing", "concrete", "wine-quality-red")


@experiment(
    data="three tables of the UCI repository with their target; a fifth of the entries hidden at random",
    protocol="Root mean squared error of the hidden entries in standard deviations of the columns; defaults; coverage "
    "of 90 % intervals of 100 draws",
    seeds=(0, 1, 2),
    minutes=2,
    bars={
        "worst error over IterativeImputer's": at_most(1.02, "as good as regressions in turn"),
        "least coverage": at_least(0.87, "draws as wide as they must be"),
        "largest coverage": at_most(0.93, "and not wider"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    values, baselines = {}, {}
    ratios, coverage = [], []
    for name in ("wine",) if run.tiny else TABLES:
        x = regression_table(name)[: 80 if run.tiny else 10_000]
        x = (x - x.mean(0)) / x.std(0)
        hidden = np.random.default_rng(seed).random(x.shape) < 0.2
        holes = np.where(hidden, np.nan, x)

        def error(filled: np.ndarray, x: np.ndarray = x, hidden: np.ndarray = hidden) -> float:
            return float(np.sqrt(((filled - x)[hidden] ** 2).mean()))

        ours = EBMImputer(random_state=seed, steps=3 if run.tiny else None).fit(holes)
        low, high = ours.interval(holes)
        theirs = error(IterativeImputer(random_state=seed, max_iter=2 if run.tiny else 10).fit_transform(holes))
        found = error(ours.transform(holes))
        inside = float(((x >= low) & (x <= high))[hidden].mean())
        values |= {f"error, {name}": found, f"coverage, {name}": inside}
        baselines |= {
            f"error, {name}/IterativeImputer": theirs,
            f"error, {name}/mean": error(SimpleImputer().fit_transform(holes)),
        }
        ratios.append(found / theirs)
        coverage.append(inside)
    values |= {
        "worst error over IterativeImputer's": max(ratios),
        "least coverage": min(coverage),
        "largest coverage": max(coverage),
    }
    return Figures(values, baselines)
