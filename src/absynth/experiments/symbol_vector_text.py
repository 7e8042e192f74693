"""AG's news from 200 labels by symbol-vector coupling on bags of words, and what the same labels give without it."""

from __future__ import annotations

from absynth.experiments._few_labels import NOTE, accuracy
from absynth.experiments.harness import Figures, Run, at_least, experiment


@experiment(
    data="AG's news: 5,000 training texts (of 120,000) of which 200 are labelled, all 7,600 test texts",
    protocol="300 updates of 50 labelled and 150 unlabelled texts as bags of 3,000 words; z of 16; numbers chosen on "
    f"1,000 texts that are set aside. The paper, with 120,000 texts, has 0.845. {NOTE}",
    seeds=(0, 1),
    minutes=2,
    bars={"points above labels alone": at_least(0.0, "unlabelled texts must not hurt")},
)
def measure(seed: int, run: Run) -> Figures:
    return Figures(*accuracy(run, "ag_news"))
