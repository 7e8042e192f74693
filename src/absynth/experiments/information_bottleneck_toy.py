"""Symbols discovered among eight Gaussians: how much they say, and what each symbol's chains draw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth.algorithms.information_bottleneck import mutual_information
from absynth.data.toy import EightGaussians
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.seeding import stream

TRUTH = EightGaussians(radius=2.0, std=0.2)
CHAINS = 500
INFORMATION, PURITY, ONE = "information, nats", "purity", "chains of one symbol on one Gaussian"


def gaussian(x: Tensor) -> Tensor:
    """The number of the nearest of the eight means."""
    return torch.cdist(x, TRUTH.means.to(x)).argmin(1)


def measured(model: Any, symbols: int, run: Run, seed: int) -> dict[str, float]:
    """Figures of one model."""
    rng, n = stream(88, 0, seed), run.few(CHAINS, 20)
    x = TRUTH.sample(run.few(8000, 200), rng)
    with torch.no_grad():
        scores = model.symbol_scores(model.sample_posterior(x, rng=rng))
    symbol, truth = scores.argmax(1), gaussian(x)
    counts = torch.zeros(symbols, 8).index_put_((symbol, truth), torch.ones(len(x)), accumulate=True)
    on_one, reached = [], set()
    for y in range(symbols):
        drawn = gaussian(model.sample(n, torch.full((n,), y), rng=rng)).bincount(minlength=8)
        on_one.append(float(drawn.max()) / n)
        reached.add(int(drawn.argmax()))
    return {
        INFORMATION: float(mutual_information(scores)),
        PURITY: float(counts.amax(1).sum()) / len(x),
        ONE: sum(on_one) / len(on_one),
        "Gaussians that some symbol's chains reach": float(len(reached)),
    }


@experiment(
    data="eight equal Gaussians of std 0.2 on a circle of radius 2; nothing labelled",
    protocol="the preset as it stands, and with an information weight of 0; the guard on. Log 8 is 2.08 nats.",
    seeds=(0, 1, 2),
    minutes=1,
    bars={
        INFORMATION: at_least(1.8, "log 8 = 2.08 is all there is"),
        PURITY: at_least(0.9, "a symbol holds one Gaussian"),
        ONE: at_least(0.9, "p(z|y) is one mode"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    ours = run.fit("information_bottleneck", "wide_ring")
    plain = run.fit("information_bottleneck", "wide_ring", label="without the term", information_weight=0.0)
    without = measured(plain.model, 8, run, seed)
    return Figures(
        measured(ours.model, 8, run, seed), {f"{name}/without the term": value for name, value in without.items()}
    )
