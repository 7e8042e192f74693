"""What a detector of 50,000 rows costs: seconds and memory."""

from __future__ import annotations

import resource
import time

import numpy as np
from sklearn.ensemble import IsolationForest

from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.sklearn import EBMDetector


@experiment(
    data="50,000 rows of 20 Gaussian columns",
    protocol="EBMDetector with its defaults; scoring 100,000 rows. Seconds are CPU time of all threads, which other "
    "programs on the machine do not lengthen; the process's largest memory, that of torch and scikit-learn too",
    seeds=(0,),
    minutes=0.5,
    bars={
        "seconds of a fit": at_most(120, "under two minutes"),
        "rows scored per second": at_least(100_000, "batch scoring"),
        "gigabytes": at_most(1.0, "a small machine"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    rows = run.few(50_000, 500)
    x = np.random.default_rng(seed).normal(size=(rows, 20))
    begun = time.process_time()
    ours = EBMDetector(random_state=seed, steps=3 if run.tiny else None).fit(x)
    fitted = time.process_time()
    ours.score_samples(np.concatenate([x, x]))
    scored = time.process_time()
    IsolationForest(random_state=seed).fit(x)
    forest = time.process_time() - scored
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Figures(
        {
            "seconds of a fit": fitted - begun,
            "rows scored per second": 2 * rows / (scored - fitted),
            "gigabytes": memory,
        },
        {"seconds of a fit/IsolationForest": forest},
    )
