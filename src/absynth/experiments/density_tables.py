"""Log-likelihood of eight tables: EBMDensity beside mixtures of Gaussians and kernel density estimates."""

from __future__ import annotations

import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

from absynth.experiments._tables import REGRESSION, splits
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.sklearn import EBMDensity

MIXTURES = range(1, 21)
WIDTHS = np.geomspace(0.03, 1.5, 12)


@experiment(
    data="eight tables of the UCI repository with their target, at most 10,000 training rows; a tenth is tested",
    protocol="Mean log density of test rows, nats, columns standardized. GaussianMixture: 1 to 20 components by BIC. "
    "KernelDensity: width by five-fold cross-validation on 2,000 rows, then all. Tables with columns of few values "
    "reward narrow components without limit: compare energy and yacht with care. log Z by annealing, from below and "
    "above, is looked at on tables without such columns: its mean less the density's own",
    seeds=(0, 1, 2),
    minutes=6,
    bars={
        "tables above both": at_least(8, "above GaussianMixture and KernelDensity on every table"),
        "log Z off annealing's, worst": at_most(0.05, "densities that integrate to one"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    values, baselines, above, off = {}, {}, 0, [0.0]
    for name, train, test in splits(("wine",) if run.tiny else REGRESSION, seed):
        train = train[: 120 if run.tiny else 10_000]
        ours = EBMDensity(random_state=seed, steps=5 if run.tiny else None).fit(train)
        mixtures = (GaussianMixture(k, random_state=seed).fit(train) for k in ((1, 2) if run.tiny else MIXTURES))
        mixture = min(mixtures, key=lambda m: m.bic(train))
        search = GridSearchCV(KernelDensity(), {"bandwidth": WIDTHS}, cv=5).fit(train[:2000])
        kernel = KernelDensity(**search.best_params_).fit(train)
        value = float(ours.score_samples(test).mean())
        others = {"GaussianMixture": float(mixture.score(test)), "KernelDensity": float(kernel.score(test)) / len(test)}
        values[f"log-likelihood, {name}"] = value
        baselines |= {f"log-likelihood, {name}/{m}": v for m, v in others.items()}
        above += value > max(others.values())
        if not ours.columns_.sizes:
            annealed = ours.check_normalization(temperatures=run.few(300, 10))
            off.append(abs(annealed.value - ours.log_z_))
    values |= {"tables above both": above, "log Z off annealing's, worst": max(off)}
    return Figures(values, baselines)
