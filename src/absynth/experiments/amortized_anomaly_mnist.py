"""MNIST with one digit held out: chains that start at a small diffusion, beside the recorded latent prior.

Protocol and split are those of ``anomaly_mnist``, whose figures are the baselines.
"""

from __future__ import annotations

from absynth import results
from absynth.experiments.anomaly_mnist import DIGITS, scores_of
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.metrics.ranking import detection

RECORD = "anomaly_mnist"
WINS = "digits above the latent prior in AUPRC"


@experiment(
    data="MNIST, 70,000 images pooled",
    protocol="80 % of the other digits train, the rest and all of the held-out digit test; fixed split; 1,000 updates; "
    "last model; 60 posterior steps; score −log p(x, z)",
    seeds=(0, 1),
    minutes=7,
    bars={WINS: at_least(4, "of five, the mean of the recorded seeds")},
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {WINS: 0}
    baselines: dict[str, float] = {}
    record = results.load_all(results.records_folder()).get(RECORD)
    for digit in DIGITS[:1] if run.tiny else DIGITS:
        fields = {"steps": 1000, "latent": 8, "energy_width": 200, "anomaly": digit}
        opened = run.fit("diffusion_amortized", "mnist", label=f"without {digit}", **fields)
        test = opened.examples("test")
        assert test.labels is not None
        n = run.few(len(test), 3000)
        x, anomaly = test.all()[-n:], test.labels[-n:] == digit
        if run.tiny:
            anomaly[: n // 2] = False
        scores = scores_of(opened, x, seed)
        figure = f"AUPRC {digit}"
        values[figure] = detection(next(iter(scores.values())), anomaly).auprc
        baselines[f"{figure}/same generator's error alone"] = detection(scores["−log p(x|z) alone"], anomaly).auprc
        baselines[f"{figure}/−log p(z) alone"] = detection(scores["−log p(z) alone"], anomaly).auprc
        if record:
            known = record.figures[figure]
            baselines[f"{figure}/latent prior, recorded"] = sum(known) / len(known)
            values[WINS] += values[figure] > baselines[f"{figure}/latent prior, recorded"]
    return Figures(values, baselines)
