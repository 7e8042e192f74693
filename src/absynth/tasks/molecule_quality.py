"""Quality of generated molecules: how many are valid, different and new, beside an n-gram and the untilted prior."""

from __future__ import annotations

from typing import Any

from absynth.metrics.molecules import Quality, canonical_forms, quality_among
from absynth.metrics.ngram import NGram
from absynth.report import TaskResult
from absynth.seeding import stream
from absynth.tasks.opened import Opened
from absynth.tasks.perplexity import from_reference, has_learned_prior
from absynth.tasks.sample import samples

_NGRAM = 6
"""Number of the n-gram's stream of noise."""


def molecule_quality(opened: Opened, n: int, seed: int) -> TaskResult:
    """Validity, uniqueness and novelty of n molecules whose tokens are drawn.

    Args:
        opened: A run on molecules.
        n: Number of molecules.
        seed: Seed of the noise.
    """
    data: Any = opened.dataset
    known, rows = canonical_forms(data.lines), {}
    rows["this run"] = samples(opened.model, n, seed=seed, device=opened.device, decoding="draw")
    if has_learned_prior(opened.model):
        plain = from_reference(opened.model, n, seed=seed, batch=500, device=opened.device)
        rows["same generator, z from p_0"] = plain
    rows["3-token n-gram"] = NGram(data.all(), 3).sample(n, stream(seed, 0, 0, _NGRAM))
    found: dict[str, Quality] = {name: quality_among(data.vocabulary.texts(x), known) for name, x in rows.items()}
    text = (
        f"{n} molecules, each token drawn at temperature 1. Validity: read by rdkit as generated, of all; uniqueness: "
        f"of the valid; novelty: of the valid, not among the {len(data)} training molecules."
    )
    result = opened.result("Quality of the samples", text, seed)
    for name in ("validity", "uniqueness", "novelty"):
        values = {method: getattr(quality, name) for method, quality in found.items()}
        result.figures[name] = values.pop("this run")
        result.baselines[name] = values
    return opened.save(result)
