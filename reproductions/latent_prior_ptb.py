"""Penn Treebank, short sentences: the learned prior beside a Gaussian prior of the same networks and budget.

    python reproductions/latent_prior_ptb.py --seeds 0 1

Sentences of up to 20 of the 2,000 most frequent words. Perplexities by the counting evaluator of absynth.metrics.text
(interpolated Kneser-Ney of order 3, no seed and nothing to tune) on as many samples as there are training sentences,
each token drawn from p(x|z): forward, a model of the training sentences reads the samples; reverse, a model of the
samples reads the test sentences. Runs are kept under runs/ and gone on with if the script is stopped.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from absynth import results
from absynth.recipes.latent_prior_ptb import LatentPriorPTB
from absynth.tasks.opened import open_run
from absynth.tasks.perplexity import ORDER, ceilings, from_reference, perplexities
from absynth.tasks.reconstruct import reconstruction_nll
from absynth.tasks.sample import samples
from absynth.training import fit

KINDS = ("forward perplexity", "reverse perplexity")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    seeds = (arguments := parser.parse_args()).seeds
    figures, baselines = defaultdict(list), defaultdict(list)
    for seed in seeds:
        ours = LatentPriorPTB(seed=seed)
        for kind, recipe in {"ebm": ours, "gaussian": replace(ours, prior="gaussian")}.items():
            run = arguments.runs / f"latent_prior_ptb_{kind}_{seed}"
            fit(recipe, run)
            opened = open_run(run, "cpu")
            model, found = opened.latent(), opened.recipe
            assert isinstance(found, LatentPriorPTB)
            n, test = len(found.examples("train")), found.examples("test")
            x = samples(model, n, seed=seed, decoding="draw")
            nll = reconstruction_nll(model, test, seed=seed, batch=500, device=opened.device)
            if kind == "ebm":
                plain = from_reference(model, n, seed=seed, batch=500, device=opened.device)
                beside = {**ceilings(found, n), "same generator, z from N(0, I)": None}
                for i, name in enumerate(KINDS):
                    figures[name].append(perplexities(x, found)[i])
                    for method, values in beside.items():
                        value = perplexities(plain, found)[i] if values is None else values[i]
                        baselines[f"{name}/{method}"].append(value)
                figures["−log p(x|z), z from the posterior"].append(nll[0])
                figures["−log p(x|z), z from the prior"].append(nll[1])
                figures["nats that the posterior's z is worth"].append(nll[1] - nll[0])
            else:
                for i, name in enumerate(KINDS):
                    value = perplexities(x, found)[i]
                    baselines[f"{name}/Gaussian prior, trained alike"].append(value)
                    figures[f"{name} over that of the Gaussian prior"].append(figures[name][-1] / value)
                    real = baselines[f"{name}/real text"][-1]
                    figures[f"{name} over that of real text"].append(figures[name][-1] / real)
                baselines["−log p(x|z), z from the posterior/Gaussian prior, trained alike"].append(nll[0])
                baselines["−log p(x|z), z from the prior/Gaussian prior, trained alike"].append(nll[1])
        print(seed, {name: values[-1] for name, values in [*figures.items(), *baselines.items()]}, flush=True)
    gaussian = {f"{name} over that of the Gaussian prior": {"at_most": 1.0, "why": "same networks"} for name in KINDS}
    real = {f"{name} over that of real text": {"at_least": 1.0, "why": "or samples are too plain"} for name in KINDS}
    results.record(
        Path("results/latent_prior_ptb.json"),
        command=f"python reproductions/latent_prior_ptb.py --seeds {' '.join(map(str, seeds))}",
        data=f"Penn Treebank, sentences of up to {ours.length - 1} words: {n} to train, {len(test)} to test",
        protocol=f"{ours.steps} updates of batch {ours.batch}, {ours.vocabulary_size} words, LSTM {ours.hidden}, z of "
        f"{ours.latent}; K0 {ours.prior_steps} (δ {ours.prior_step_size}), K1 {ours.posterior_steps} (δ "
        f"{ours.posterior_step_size}) from an inference model, likelihood counted {ours.likelihood_weight:g} times in "
        f"the posterior chain, in both models; evaluator Kneser-Ney of order {ORDER}, {n} samples, each token drawn, "
        "end of sentence counted; NLL in nats a test sentence",
        seeds=seeds,
        figures=dict(figures),
        baselines=dict(baselines),
        bars={
            **gaussian,
            **real,
            "nats that the posterior's z is worth": {"at_least": 3.0, "why": "no collapse: z carries the sentence"},
        },
    )


if __name__ == "__main__":
    main()
