"""Molecules of ZINC from the latent EBM prior: validity, uniqueness, novelty, and generation towards a property.

Beside it: the same generator with z from N(0, I), and an n-gram of three tokens of context, drawn at the same
temperature. Then the prior is given an observation of logP, and what is generated is measured again.
"""

from __future__ import annotations

from typing import Any

from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.metrics.molecules import PROPERTIES, draw, measured, quality, wasserstein1
from absynth.metrics.ngram import NGram
from absynth.seeding import stream
from absynth.tasks.guide import guided, learn_head, write

N = 2000
VALUE = 5.0
"""The requested logP; the training molecules' mean is about 2.5."""
PLAIN = "/same generator, z from N(0, I)"


@experiment(
    data="ZINC250k as SMILES: trained on the first 10,000 training molecules and the 24,445 of the validation file, "
    f"compared with the first {N} test molecules; bracketed atoms are one token",
    protocol=f"the preset as it stands, LSTM of 128, z of 32; {N} molecules a row, tokens drawn at the preset's "
    "temperature in every row (others where said); validity: read by rdkit as generated, of all; uniqueness: of the "
    "valid; novelty: of the valid, against all training molecules; W1: Wasserstein distance to the test molecules. "
    f"Guided: log N({VALUE:g}; h(z), s²) added to the prior, h a small network on posterior draws, s what it misses, "
    "sampled by the prior's own short run",
    seeds=(0, 1),
    minutes=10,
    bars={
        "validity": at_least(0.5, "the better of N(0, I) with the same generator and the n-gram stands beside it"),
        "uniqueness": at_least(0.95, "named with the task"),
        "novelty": at_least(0.95, "named with the task"),
        "guided: shift of mean logP": at_least(0.5, "with validity kept"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened: Any = run.fit("latent_prior", "zinc")
    model, data, temperature = opened.model, opened.dataset, opened.recipe.temperature
    n, train = run.few(N, 20), list(data.lines)
    test = data.split("test").lines[:n]
    real = {p: measured(test, p) for p in PROPERTIES}
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}

    def note(method: str, smiles: list[str]) -> None:
        found, into = quality(smiles, train), baselines if method else values
        row = {"validity": found.validity, "uniqueness": found.uniqueness, "novelty": found.novelty}
        row |= {f"W1 of {p}": wasserstein1(measured(smiles, p), real[p]) for p in PROPERTIES if found.validity}
        into.update({figure + method: value for figure, value in row.items()})

    z = model.sample_prior(n, rng=stream(seed, 0, 0, 1))
    gaussian = model.latent_density().reference.sample(n, stream(seed, 0, 0, 2))
    smiles = write(model, data, z, temperature, rng=stream(seed, 0, 0, 3))
    note("", smiles)
    if values["validity"]:
        draw(smiles, run.images / f"zinc_{seed}.png")
    note(PLAIN, write(model, data, gaussian, temperature, rng=stream(seed, 0, 0, 3)))
    ngram = NGram(data.all(), 3, temperature)
    note("/3-token n-gram", data.vocabulary.texts(ngram.sample(n, stream(seed, 0, 0, 4))))
    for t, figure in ((1.0, "validity at T = 1"), (0.0, "validity, greedy")):
        for latent, method in ((z, ""), (gaussian, PLAIN)):
            x = model.draw(latent, temperature=t, rng=stream(seed, 0, 0, 5)) if t else model.generate(latent)
            into = baselines if method else values
            into[figure + method] = quality(data.vocabulary.texts(x), []).validity
    head = learn_head(opened, "logP", seed=seed)
    wanted = guided(opened.chain(), head, VALUE, n, std=head.error, rng=stream(seed, 0, 0, 6))
    led = write(model, data, wanted, temperature, rng=stream(seed, 0, 0, 7))
    before, after = measured(smiles, "logP"), measured(led, "logP")
    if len(before) and len(after):
        values["guided: shift of mean logP"] = float(after.mean() - before.mean())
    values["guided: validity"] = len(after) / n
    values["share of logP's variance that z tells"] = head.explained
    baselines["guided: validity/without guidance"] = len(before) / n
    known = {name: value for name, value in baselines.items() if name.partition("/")[0] in values}
    return Figures(values, known)
