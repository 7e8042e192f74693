"""MNIST with one digit held out: the learned prior's score, its parts, a Gaussian prior and PCA.

All 70,000 images pooled; 80 % of the other digits train, 20 % of them and all of the held-out digit test; one fixed
split, no test image in training; 1,000 updates fixed beforehand, the last model; posterior chains of 60 steps. z has 8
dimensions. Anomalies are the positive class; the base rate is the AUPRC of chance.
"""

from __future__ import annotations

from torch import Tensor

from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.metrics.ranking import Detection, detection, pca_reconstruction_error
from absynth.tasks.detect import anomaly_scores
from absynth.tasks.opened import Opened

DIGITS = (1, 4, 5, 7, 9)
WINS = "digits above both PCA in AUPRC and AUROC"


def scores_of(opened: Opened, x: Tensor, seed: int) -> dict[str, Tensor]:
    """−log p(x, z) and its parts."""
    return dict(anomaly_scores(opened.model, x, steps=60, seed=seed, batch=1000, device=opened.device).scores)


@experiment(
    data="MNIST, 70,000 images pooled",
    protocol="80 % of the other digits train, the rest and all of the held-out digit test; fixed split; 1,000 updates; "
    "last model; 60 posterior steps; score −log p(x, z)",
    seeds=(0, 1),
    minutes=25,
    bars={WINS: at_least(4, "of five, PCA of 8 and 32")},
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {WINS: 0}
    baselines: dict[str, float] = {}
    for digit in DIGITS[:1] if run.tiny else DIGITS:
        fields = {"steps": 1000, "latent": 8, "energy_width": 200, "anomaly": digit}
        ours = run.fit("latent_prior", "mnist", label=f"ebm {digit}", **fields)
        plain = run.fit("latent_prior", "mnist", label=f"gaussian {digit}", prior="gaussian", **fields)
        test = ours.examples("test")
        assert test.labels is not None
        n = run.few(len(test), 3000)
        x, anomaly = test.all()[-n:], test.labels[-n:] == digit
        if run.tiny:
            anomaly[: n // 2] = False
        joint, other = scores_of(ours, x, seed), scores_of(plain, x, seed)
        mine = detection(next(iter(joint.values())), anomaly)
        found: dict[str, Detection] = {
            "same generator's error alone": detection(joint["−log p(x|z) alone"], anomaly),
            "Gaussian prior": detection(next(iter(other.values())), anomaly),
        }
        train, flat = ours.examples("train").all().flatten(1), x.flatten(1)
        pca = {q: detection(pca_reconstruction_error(train, flat, q), anomaly) for q in (8, 32)}
        found |= {f"PCA-{q}": value for q, value in pca.items()}
        values |= {f"AUPRC {digit}": mine.auprc, f"AUROC {digit}": mine.auroc, f"base rate {digit}": mine.base_rate}
        for name, value in found.items():
            baselines |= {f"AUPRC {digit}/{name}": value.auprc, f"AUROC {digit}/{name}": value.auroc}
        values[WINS] += all(mine.auprc > each.auprc and mine.auroc > each.auroc for each in pca.values())
    return Figures(values, baselines)
