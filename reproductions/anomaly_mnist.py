"""MNIST with one digit held out: the learned prior's score beside its parts, a Gaussian prior and PCA.

    python reproductions/anomaly_mnist.py --seeds 0 1

Protocol: all 70,000 pictures pooled; 80 % of the other digits train, 20 % of them and all of the held-out digit test;
one fixed split, no test picture in training; 1,000 updates fixed beforehand, the last model; posterior chains of 60
steps. z has 8 dimensions. Anomalies are the positive class; the base rate is the AUPRC of chance.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from absynth import results
from absynth.metrics.ranking import detection, pca_reconstruction_error
from absynth.recipes.latent_prior_mnist import LatentPriorMNIST
from absynth.tasks.detect import anomaly_scores
from absynth.tasks.opened import open_run
from absynth.training import fit

DIGITS = [1, 4, 5, 7, 9]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    seeds = (arguments := parser.parse_args()).seeds
    figures, baselines = defaultdict(list), defaultdict(list)
    pca = {}
    for seed in seeds:
        wins = 0
        for digit in DIGITS:
            recipe = LatentPriorMNIST(seed=seed, steps=1000, latent=8, nef=200, anomaly=digit)
            aurocs, auprcs = {}, {}
            for kind, each in {"ebm": recipe, "Gaussian prior": replace(recipe, prior="gaussian")}.items():
                run = arguments.runs / f"anomaly_{kind.split()[0].lower()}_{digit}_{seed}"
                fit(each, run)
                opened = open_run(run, "cpu")
                test = opened.images("test")
                assert test.labels is not None
                anomaly = test.labels == digit
                scores = anomaly_scores(
                    opened.latent(), test.all(), steps=60, seed=seed, batch=1000, device=opened.device
                )
                mine = detection(scores["joint"], anomaly)
                if kind == "ebm":
                    figures[f"AUPRC {digit}"].append(mine.auprc)
                    figures[f"AUROC {digit}"].append(mine.auroc)
                    figures[f"base rate {digit}"].append(mine.base_rate)
                    alone = detection(scores["generator"], anomaly)
                    auprcs["same generator's error alone"] = alone.auprc
                    aurocs["same generator's error alone"] = alone.auroc
                else:
                    auprcs[kind], aurocs[kind] = mine.auprc, mine.auroc
            if digit not in pca:
                train, flat = opened.images("train").all().flatten(1), test.all().flatten(1)
                pca[digit] = {q: detection(pca_reconstruction_error(train, flat, q), anomaly) for q in (8, 32)}
            for q, found in pca[digit].items():
                auprcs[f"PCA-{q}"], aurocs[f"PCA-{q}"] = found.auprc, found.auroc
            for name, value in auprcs.items():
                baselines[f"AUPRC {digit}/{name}"].append(value)
            for name, value in aurocs.items():
                baselines[f"AUROC {digit}/{name}"].append(value)
            beats = all(
                figures[f"AUPRC {digit}"][-1] > found.auprc and figures[f"AUROC {digit}"][-1] > found.auroc
                for found in pca[digit].values()
            )
            wins += beats
            print(seed, digit, figures[f"AUPRC {digit}"][-1], figures[f"AUROC {digit}"][-1], auprcs, aurocs, flush=True)
        figures["digits above both PCA in AUPRC and AUROC"].append(wins)
    results.record(
        Path("results/anomaly_mnist.json"),
        command=f"python reproductions/anomaly_mnist.py --seeds {' '.join(map(str, seeds))}",
        data="MNIST, 70,000 pictures pooled",
        protocol="80 % of the other digits train, the rest and all of the held-out digit test; fixed split; "
        "1,000 updates; last model; 60 posterior steps; score −log p(x, z)",
        seeds=seeds,
        figures=dict(figures),
        baselines=dict(baselines),
        bars={"digits above both PCA in AUPRC and AUROC": {"at_least": 4, "why": "of five, PCA of 8 and 32"}},
    )


if __name__ == "__main__":
    main()
