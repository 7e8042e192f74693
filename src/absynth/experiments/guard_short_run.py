"""The guard at work: settings that diverge, with and without it, and settings that do not.

Short-run EBM on MNIST at 16×16. A learning rate of 1e-3 with a leaky ReLU and data noise 0.03 makes f diverge within
some 200 updates; with the guard the same settings finish, and the model is compared with that of healthy settings
(3e-4, SiLU, data noise 0.05) after equally many updates. Without the guard 250 updates show what becomes of it.
"""

from __future__ import annotations

import json
import math

import torch
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.experiments._small_digits import HEALTHY, WILD, mnist16
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.seeding import stream

N = 2000
FD = "Fréchet distance"
RELATIVE = f"{FD} relative to healthy"


def drawn(model: Algorithm, n: int, seed: int) -> Tensor:
    """n samples, clamped."""
    size = min(n, 500)
    return torch.cat([model.sample(size, rng=stream(seed, 0, part, 3)) for part in range(n // size)]).clamp(-1, 1)


@experiment(
    data="MNIST averaged to 16×16",
    protocol=f"350 updates each, 250 without the guard; {N} samples against 10,000 test images, clamped to [−1, 1], "
    "in the features of a classifier; wild: learning rate 1e-3, leaky ReLU, 0.03; healthy: 3e-4, SiLU, 0.05; largest "
    "energy difference over logged updates",
    seeds=(0, 1),
    minutes=10,
    bars={RELATIVE: at_most(1.1, "within 10 % of the healthy model")},
)
def measure(seed: int, run: Run) -> Figures:
    settings = {"guarded": WILD, "healthy": HEALTHY, "unguarded": WILD | {"guard_retries": 0, "steps": 250}}
    distances, differences, rolls = {}, {}, {}
    for name, fields in settings.items():
        opened = run.fit("maximum_likelihood", mnist16(), label=name, **fields)
        features = run.features_of(opened)
        real = features(opened.examples("test").head(run.few(10_000, 200)))
        x = drawn(opened.model, run.few(N), seed)
        rows = [json.loads(line) for line in (opened.path / "metrics.jsonl").read_text().splitlines()]
        events = [json.loads(line)["event"] for line in (opened.path / "journal.jsonl").read_text().splitlines()]
        distances[name] = frechet(features(x), real) if bool(x.isfinite().all()) else math.inf
        differences[name] = max(abs(row["loss"]["ebm"]) for row in rows)
        rolls[name] = events.count("guard")
    baselines = {
        f"{FD}/healthy settings": distances["healthy"],
        "largest energy difference/healthy settings": differences["healthy"],
        "largest energy difference/no guard": differences["unguarded"],
    }
    if math.isfinite(distances["unguarded"]):
        baselines[f"{FD}/no guard"] = distances["unguarded"]
    return Figures(
        {
            FD: distances["guarded"],
            RELATIVE: distances["guarded"] / distances["healthy"],
            "roll-backs": rolls["guarded"],
            "largest energy difference": differences["guarded"],
        },
        {k: v for k, v in baselines.items() if math.isfinite(v)},
    )
