"""Penn Treebank, short sentences: the learned prior beside a Gaussian prior of the same networks and budget.

Perplexities by the counting evaluator of :mod:`absynth.metrics.text` (interpolated Kneser-Ney of order 3, no seed and
nothing to tune) on as many samples as there are training sentences, each token drawn from p(x|z): forward, a model of
the training sentences reads the samples; reverse, a model of the samples reads the test sentences.
"""

from __future__ import annotations

from typing import Any

from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.tasks.perplexity import ORDER, compute_baselines, from_reference, perplexities
from absynth.tasks.reconstruct import reconstruction_nll
from absynth.tasks.sample import samples

KINDS = ("forward perplexity", "reverse perplexity")
INFERRED, FROM_PRIOR = "−log p(x|z), z from the posterior", "−log p(x|z), z from the prior"
GAUSSIAN = "Gaussian prior, trained alike"
WORTH = "nats that the posterior's z is worth"


@experiment(
    data="Penn Treebank, sentences of up to 20 of the 2,000 most frequent words",
    protocol="the preset as it stands, in both models; evaluator Kneser-Ney of order "
    f"{ORDER}, as many samples as training sentences, each token drawn, end of sentence counted; NLL in nats a test "
    "sentence",
    seeds=(0, 1),
    minutes=20,
    bars={f"{name} over that of the Gaussian prior": at_most(1.0, "same networks") for name in KINDS}
    | {f"{name} over that of real text": at_least(1.0, "or samples are too plain") for name in KINDS}
    | {WORTH: at_least(3.0, "no collapse: z carries the sentence")},
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for prior in ("ebm", "gaussian"):
        opened = run.fit("latent_prior", "ptb", label=prior, prior=prior)
        model, data = opened.model, opened.dataset
        n = run.few(data.examples, 50)
        test: Any = data.split("test")
        found = perplexities(samples(model, n, seed=seed, decoding="draw"), data)
        rows = test.all()[: run.few(len(test), 50)]
        inferred, from_prior = reconstruction_nll(model, rows, seed=seed, batch=500, device=opened.device)
        if prior == "gaussian":
            baselines |= {f"{name}/{GAUSSIAN}": value for name, value in zip(KINDS, found, strict=True)}
            baselines |= {f"{INFERRED}/{GAUSSIAN}": inferred, f"{FROM_PRIOR}/{GAUSSIAN}": from_prior}
            continue
        values |= dict(zip(KINDS, found, strict=True))
        values |= {INFERRED: inferred, FROM_PRIOR: from_prior, WORTH: from_prior - inferred}
        plain = perplexities(from_reference(model, n, seed=seed, batch=500, device=opened.device), data)
        beside = compute_baselines(data, n) | {"same generator, z from N(0, I)": plain}
        baselines |= {f"{name}/{k}": pair[i] for i, name in enumerate(KINDS) for k, pair in beside.items()}
    for name in KINDS:
        values[f"{name} over that of the Gaussian prior"] = values[name] / baselines[f"{name}/{GAUSSIAN}"]
        values[f"{name} over that of real text"] = values[name] / baselines[f"{name}/real text"]
    return Figures(values, baselines)
