"""Improved contrastive divergence against plain contrastive divergence from a replay buffer, on MNIST at 16×16.

Persistent chains, a twentieth of them restarted, at healthy settings and at settings at which f diverges (learning rate
1e-3, leaky ReLU, data noise 0.03); the guard is off. Three ways to learn from them: the energy difference alone; with
mean f² penalized, which improved contrastive divergence adds besides its own terms; all of it. Improved contrastive
divergence differentiates its last step, so the others' chains have one step more: as many gradient evaluations. The
Fréchet distance is that of the persistent chains, which are the samples of such a model.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.experiments._small_digits import HEALTHY, WILD, mnist16
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.recipes.maximum_likelihood.images import MaximumLikelihoodImages

LOST = 1e9
"""Stands for any larger pixel, or none at all."""
Way = Literal["difference alone", "difference and penalty", "improved"]
WAYS: tuple[Way, ...] = ("difference alone", "difference and penalty", "improved")
PERSISTENT: dict[str, Any] = {
    "steps": 300, "start": "persistent", "chains": 2000, "chain_steps": 15, "checkpoint_every": 300, "guard_retries": 0,
    "log_every": 1,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PersistentDigits(MaximumLikelihoodImages):
    """An EBM of small digits from persistent chains."""

    way: Way = "improved"
    """What is learned from the chains."""

    def algorithm(self) -> MaximumLikelihood:
        model: Any = super().algorithm()
        if self.way != "improved":  # the step that it would differentiate
            model.set_chain_steps(self.chain_steps + 1)
        if self.way == "difference and penalty":
            model.moves, model.through, model.entropy = None, 0.0, 0.0
        return model


@experiment(
    data="MNIST averaged to 16×16",
    protocol="300 updates of 64 chains from a replay buffer of 2,000, restarted with probability 0.05; 15 steps per "
    "update, the last differentiated, or 16; no guard. Healthy: learning rate 3e-4, SiLU, data noise 0.05; wild: "
    "1e-3, leaky ReLU, 0.03. Fréchet distance of the buffer against 10,000 test images in a classifier's features, "
    "clamped to [−1, 1]; largest pixel that a chain ended with in any update",
    seeds=(0, 1),
    minutes=25,
    bars={
        "healthy: Fréchet distance": at_most(118, "no worse than the difference alone"),
        "wild: Fréchet distance": at_most(329, "no worse than the difference alone"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    found: dict[str, float] = {}
    for kind, settings in (("healthy", HEALTHY), ("wild", WILD)):
        for way in WAYS:
            learning = "maximum_likelihood" if way == "difference alone" else "improved_cd"
            fields = {k: v for k, v in (settings | PERSISTENT).items() if k != "preset"}
            label = f"{kind}, {way}"
            base = run.recipe("maximum_likelihood", mnist16(), preset="mnist", label=label, learning=learning,
                              **fields)  # fmt: skip
            made = PersistentDigits(**base.fields(), way=way, dataset=base.dataset)
            opened = run.train(made, f"{kind} {way}")
            features = run.features_of(opened)
            real = features(opened.examples("test").head(run.few(10_000, 200)))
            x = opened.model.get_buffer("start.chains").nan_to_num().clamp(-1, 1)
            rows = [json.loads(line) for line in (opened.path / "metrics.jsonl").read_text().splitlines()]
            largest = [row["reach"]["ebm"] for row in rows]
            found[f"{kind}: Fréchet distance, {way}"] = frechet(features(x), real)
            found[f"{kind}: largest pixel, {way}"] = max(v if math.isfinite(v) else LOST for v in largest)
    names = [f"{kind}: {what}" for kind in ("healthy", "wild") for what in ("Fréchet distance", "largest pixel")]
    return Figures(
        {name: found[f"{name}, improved"] for name in names},
        {f"{name}/{way}": found[f"{name}, {way}"] for name in names for way in WAYS[:2]},
    )
