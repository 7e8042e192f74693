"""Molecules of MOSES from the latent EBM prior beside the same decoder without z, a VAE of its networks and an n-gram.

The measures are those of MOSES (Polykovskiy et al. 2020): validity, uniqueness of 10,000, novelty, the Fréchet ChemNet
distance (FCD), similarity to the nearest test molecule (SNN), fragments and scaffolds, at temperatures 1 and 0.5 of the
tokens. FCD needs the ``fcd`` package, which brings ChemNet's weights, and is left out without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from absynth.errors import InputError
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
    train_vae,
    what_z_tells,
)
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.metrics.molecules import (
    canonical,
    canonical_forms,
    chemnet_features,
    cosine,
    draw,
    fragments,
    nearest_similarity,
    scaffolds,
)
from absynth.metrics.ngram import NGram
from absynth.seeding import stream

N = 10_000
COMPARED = 2000
"""Valid molecules of a row, the first ones, that are compared with test molecules."""
REFERENCE = 5000
"""Test molecules, drawn at random, that they are compared with."""
MIXED = 8000
VAE_ROW, NGRAM, REAL = "VAE of the same networks", "3-token n-gram", "training molecules"


@dataclass
class Reference:
    """Test molecules with what others are compared to."""

    smiles: list[str]

    def __post_init__(self) -> None:
        self.fragments, self.scaffolds = fragments(self.smiles), scaffolds(self.smiles)
        try:
            self.features: torch.Tensor | None = chemnet_features(self.smiles)
        except InputError as error:
            print(f"FCD left out: {error}", flush=True)
            self.features = None

    def row(self, smiles: list[str]) -> dict[str, float]:
        """FCD (where its package is), SNN, Frag and Scaf of the first :data:`COMPARED` valid molecules."""
        valid = [form for form in map(canonical, smiles) if form][:COMPARED]
        if len(valid) < 2:
            return {}
        found = {
            "SNN": nearest_similarity(valid, self.smiles),
            "Frag": cosine(fragments(valid), self.fragments),
            "Scaf": cosine(scaffolds(valid), self.scaffolds),
        }
        return found if self.features is None else {"FCD": frechet(chemnet_features(valid), self.features), **found}


@experiment(
    data="MOSES: trained on the first 300,000 training molecules, compared with test molecules; bracketed atoms are "
    "one token",
    protocol="the preset as it stands, LSTM of 256, z of 32; rivals have the same LSTM, batches, rates, clip and "
    f"number of updates with data, the VAE's variance is learned at weight 1; {N} molecules a row, tokens drawn at "
    "temperature T in every row; validity: read by rdkit as generated, of all; uniqueness: of the valid; novelty: of "
    f"the valid, against the molecules trained on; FCD, SNN, Frag, Scaf: the first {COMPARED} valid ones to "
    f"{REFERENCE} test molecules, FCD biased upwards: compare with the training molecules' own; guided "
    f"as in latent_prior_zinc, to a logP of {VALUE:g}",
    seeds=(0,),
    minutes=60,
    bars={
        "validity at T = 0.5": at_least(0.9, "published .955 on ZINC, its temperature not said"),
        f"FCD at T = 1 over that of the {NGRAM}": at_most(1.0, "the simplest rival"),
        f"FCD at T = 1 over that of the {VAE_ROW}": at_most(1.0, "the usual rival"),
        "validity at T = 1 over that of the decoder without z": at_least(1.0, "z must cost nothing"),
        INFORMATION: at_least(3.0, "no collapse: z carries the molecule"),
        SHIFT: at_least(0.3, "towards a logP of 5"),
        KEPT: at_least(0.95, "with validity kept"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened, spent = cpu_seconds(lambda: run.fit("latent_prior", "moses"))
    plain, plain_spent = cpu_seconds(lambda: train_decoder(opened.recipe))
    vae, vae_spent = cpu_seconds(lambda: train_vae(opened.recipe))
    model, data = opened.model, opened.dataset
    n, train, test = run.few(N, 20), data.all(), data.split("test")
    order = torch.randperm(len(test.lines), generator=stream(0)).tolist()
    reference = [test.lines[i] for i in order[: run.few(REFERENCE, 20)]]
    sheet, against = Sheet(canonical_forms(data.lines), reference), Reference(reference)

    def texts(x: torch.Tensor) -> list[str]:
        return data.vocabulary.texts(x)

    prior = model.sample_prior(n, rng=stream(seed, 0, 0, 2))
    gaussian = model.latent_density().reference.sample(n, stream(seed, 0, 0, 4))
    posterior = posterior_draws(model, some(train, n, seed=seed), rng=stream(seed, 0, 0, 5))
    rows: dict[str, Callable[[float], list[str]]] = {
        "": lambda t: written(model, data, prior, t, seed=seed),
        DECODER: lambda t: texts(draw_decoder(plain, n, temperature=t, rng=stream(seed, 0, 0, 8))),
        VAE_ROW: lambda t: written(vae, data, gaussian, t, seed=seed),
        NGRAM: lambda t: texts(NGram(train, 3, t).sample(n, stream(seed, 0, 0, 9))),
        GAUSSIAN: lambda t: written(model, data, gaussian, t, seed=seed),
        POSTERIOR: lambda t: written(model, data, posterior, t, seed=seed),
    }
    for t in (1.0, 0.5):
        for method, make in rows.items():
            smiles = make(t)
            sheet.note(method, t, smiles)
            if method not in (GAUSSIAN, POSTERIOR):
                sheet.put(method, t, against.row(smiles))
            if not method:
                draw(smiles, run.images / f"moses_{seed}_{t:g}.png")
    sheet.put(REAL, 1.0, against.row(texts(some(train, COMPARED, seed=seed))))
    held_out = test.all()[order[: run.few(COMPARED, 20)]]
    values = sheet.values | what_z_tells(model, held_out, some(train, MIXED, seed=seed), seed=seed).figures()
    baselines = sheet.baselines | {f"{OWN}/{DECODER}": decoder_nll(plain, held_out)}
    baselines |= {f"{CPU}/{DECODER}": plain_spent, f"{CPU}/{VAE_ROW}": vae_spent}
    latent = what_z_tells(vae, held_out, some(train, MIXED, seed=seed), seed=seed).figures()
    baselines |= {f"{figure}/{VAE_ROW}": value for figure, value in latent.items()}
    led, unled = guide(opened, prior, run.few(2000, 20), seed=seed)
    values |= {CPU: spent, **led}
    for figure, rival in (("validity", DECODER), ("FCD", NGRAM), ("FCD", VAE_ROW)):
        known = f"{figure} at T = 1"
        if known in values and (other := baselines.get(f"{known}/{rival}")):
            name = "decoder without z" if rival == DECODER else rival
            values[f"{known} over that of the {name}"] = values[known] / other
    return Figures(values, of_figures(baselines | unled, values))
