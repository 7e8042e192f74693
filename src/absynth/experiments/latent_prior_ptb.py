"""Penn Treebank, short sentences: the learned prior beside the same decoder without z, and beside N(0, I).

Perplexities by the counting evaluator of :mod:`absynth.metrics.text` (interpolated Kneser-Ney of order 3, no seed and
nothing to tune) on as many samples as there are training sentences, each token drawn from p(x|z): forward, a model of
the training sentences reads the samples; reverse, a model of the samples reads the test sentences.
"""

from __future__ import annotations

from typing import Any

import torch

from absynth.experiments._sequences import (
    CPU,
    DECODER,
    GAUSSIAN,
    INFORMATION,
    OWN,
    POSTERIOR,
    cpu_seconds,
    decoder_nll,
    draw_decoder,
    posterior_draws,
    train_decoder,
    what_z_tells,
)  # fmt: skip
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.files import write_atomic
from absynth.metrics.ngram import NGram
from absynth.seeding import stream
from absynth.tasks.chain import path
from absynth.tasks.perplexity import ORDER, compute_baselines, perplexities

KINDS = ("forward perplexity", "reverse perplexity")
STEPS = (0, 40, 100)
"""Prior steps at which text along the chain is written (Pang et al. 2020, Table 3)."""
MIXED = 8000
"""Training posteriors that make up q(z) in the information of z."""


@experiment(
    data="Penn Treebank, sentences of up to 20 of the 2,000 most frequent words",
    protocol="the preset as it stands; the decoder without z has the same LSTM, batches, rates, clip and number of "
    f"updates with data; tokens drawn at T = 1; evaluator Kneser-Ney of order {ORDER}, as many samples as training "
    "sentences, end of sentence counted; NLL in nats a test sentence; information of z: E log q(z|x) − log q(z), with "
    f"q(z) the mean of q over {MIXED} training sentences. Numbers were chosen on seed 7",
    seeds=(0, 1, 2),
    minutes=6,
    bars={f"{name} over that of the decoder without z": at_most(1.0, "z must cost nothing") for name in KINDS}
    | {f"{name} over that of real text": at_least(1.0, "or samples are too plain") for name in KINDS}
    | {INFORMATION: at_least(3.0, "no collapse: z carries the sentence")},
)
def measure(seed: int, run: Run) -> Figures:
    opened, spent = cpu_seconds(lambda: run.fit("latent_prior", "ptb"))
    model, data = opened.model, opened.dataset
    n, test = run.few(data.examples, 50), data.split("test").all()
    test, train = test[: run.few(len(test), 50)], data.all()
    order = torch.randperm(len(train), generator=stream(seed, 0, 0, 1))
    plain, plain_spent = cpu_seconds(lambda: train_decoder(opened.recipe))

    def drawn(z: torch.Tensor) -> torch.Tensor:
        rng = stream(seed, 0, 0, 2)
        return torch.cat([model.draw(part, rng=rng) for part in z.split(1000)])

    prior = model.sample_prior(n, rng=stream(seed, 0, 0, 3))
    found = dict(zip(KINDS, perplexities(drawn(prior), data), strict=True))
    latent = what_z_tells(model, test, train[order[:MIXED]], seed=seed)
    values = {**found, **latent.figures(), CPU: spent}
    rows = {
        DECODER: draw_decoder(plain, n, rng=stream(seed, 0, 0, 4)),
        GAUSSIAN: drawn(model.latent_density().reference.sample(n, stream(seed, 0, 0, 5))),
        POSTERIOR: drawn(posterior_draws(model, train[order[:n]], rng=stream(seed, 0, 0, 6))),
        "3-word n-gram": NGram(train, 2).sample(n, stream(seed, 0, 0, 7)),
    }
    beside = {name: perplexities(x, data) for name, x in rows.items()} | compute_baselines(data, n)
    baselines = {f"{name}/{k}": pair[i] for i, name in enumerate(KINDS) for k, pair in beside.items()}
    baselines |= {f"{CPU}/{DECODER}": plain_spent, f"{OWN}/{DECODER}": decoder_nll(plain, test)}
    for name in KINDS:
        values[f"{name} over that of the decoder without z"] = values[name] / baselines[f"{name}/{DECODER}"]
        values[f"{name} over that of real text"] = values[name] / baselines[f"{name}/real text"]
    write_chain(opened, seed, run)
    return Figures(values, baselines)


def write_chain(opened: Any, seed: int, run: Run) -> None:
    """The greedy sentences of a few prior chains at :data:`STEPS`, into a text file beside the runs."""
    states, _, _ = path(opened.chain(), 8, max(STEPS), list(STEPS), rng=stream(seed, 0, 0, 8))
    texts = [opened.dataset.vocabulary.texts(opened.model.generate(z)) for z in states]
    lines = [f"{k}: {text}" for one in zip(*texts, strict=True) for k, text in zip(STEPS, one, strict=True)]
    write_atomic(run.images / f"ptb_chain_{seed}.txt", "\n".join(lines) + "\n")
