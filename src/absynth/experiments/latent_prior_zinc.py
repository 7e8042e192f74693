"""Molecules of ZINC from the latent EBM prior beside the same decoder without z, and generation towards a property.

Beside it too: the same generator with z from N(0, I) and from the posterior, and an n-gram of three tokens of context,
each at temperatures 1 and 0.5 of the tokens. Then the prior is given an observation of logP, and what is generated is
measured again.
"""

from __future__ import annotations

from absynth.experiments._molecules import KEPT, SHIFT, VALUE, Sheet, guide, of_figures, some, written
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
)
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.metrics.molecules import canonical_forms, draw
from absynth.metrics.ngram import NGram
from absynth.seeding import stream

N = 2000
MIXED = 8000
"""Training posteriors that make up q(z) in the information of z."""
OVER = "validity at T = 1 over that of the decoder without z"


@experiment(
    data="ZINC250k as SMILES: trained on the first 10,000 training molecules and the 24,445 of the validation file, "
    f"compared with the first {N} test molecules; bracketed atoms are one token",
    protocol=f"the preset as it stands, LSTM of 128, z of 32; the decoder without z has the same LSTM, batches, rates, "
    f"clip and number of updates with data; {N} molecules a row, tokens drawn at temperature T in every row; validity: "
    "read by rdkit as generated, of all; uniqueness: of the valid; novelty: of the valid, against all training "
    "molecules; W1: Wasserstein distance to the test molecules, of the valid; information of z: E log q(z|x) − log "
    f"q(z), q(z) the mean of q over {MIXED} training molecules. Guided, T = 1: log N({VALUE:g}; h(z), s²) added to the "
    "prior, h a small network on posterior draws, s what it misses, sampled by the prior's own short run",
    seeds=(0, 1),
    minutes=15,
    bars={
        OVER: at_least(1.0, "z must cost nothing"),
        INFORMATION: at_least(3.0, "no collapse: z carries the molecule"),
        "uniqueness at T = 1": at_least(0.95, "named with the task"),
        "novelty at T = 1": at_least(0.95, "named with the task"),
        SHIFT: at_least(0.5, "towards a logP of 5"),
        KEPT: at_least(0.95, "with validity kept"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened, spent = cpu_seconds(lambda: run.fit("latent_prior", "zinc"))
    plain, plain_spent = cpu_seconds(lambda: train_decoder(opened.recipe))
    model, data = opened.model, opened.dataset
    n, train, test = run.few(N, 20), data.all(), data.split("test")
    sheet = Sheet(canonical_forms(data.lines), test.lines[:n])
    latents = {
        "": model.sample_prior(n, rng=stream(seed, 0, 0, 2)),
        GAUSSIAN: model.latent_density().reference.sample(n, stream(seed, 0, 0, 4)),
        POSTERIOR: posterior_draws(model, some(train, n, seed=seed), rng=stream(seed, 0, 0, 5)),
    }
    for t in (1.0, 0.5):
        for method, z in latents.items():
            smiles = written(model, data, z, t, seed=seed)
            sheet.note(method, t, smiles)
            if not method:
                draw(smiles, run.images / f"zinc_{seed}_{t:g}.png")
        own = draw_decoder(plain, n, temperature=t, rng=stream(seed, 0, 0, 8))
        sheet.note(DECODER, t, data.vocabulary.texts(own))
        ngram = NGram(train, 3, t).sample(n, stream(seed, 0, 0, 9))
        sheet.note("3-token n-gram", t, data.vocabulary.texts(ngram))
    rows = test.all()[:n]
    values = sheet.values | what_z_tells(model, rows, some(train, MIXED, seed=seed), seed=seed).figures()
    baselines = sheet.baselines | {f"{CPU}/{DECODER}": plain_spent, f"{OWN}/{DECODER}": decoder_nll(plain, rows)}
    led, unled = guide(opened, latents[""], n, seed=seed)
    values |= {CPU: spent, **led}
    if rival := baselines[f"validity at T = 1/{DECODER}"]:
        values[OVER] = values["validity at T = 1"] / rival
    return Figures(values, of_figures(baselines | unled, values))
