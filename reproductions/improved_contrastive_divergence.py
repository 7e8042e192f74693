"""Improved contrastive divergence beside plain contrastive divergence from a bank, on MNIST at 16×16.

    python reproductions/improved_contrastive_divergence.py --seeds 0 1

Chains of a persistent bank, a twentieth of them restarted, at healthy settings and at settings at which f runs away
(rate 1e-3, leaky ReLU, data noise 0.03); the guard is off. Three ways to learn from them: the gap alone; the gap with
mean f² penalized, which improved contrastive divergence has besides its own terms; all of it. Improved contrastive
divergence differentiates its last step, so the others' chains have one step more: as many gradient evaluations.

The Fréchet distance is that of the bank's chains, which are the samples of such a model.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from guard_short_run import HEALTHY, WILD, ShortRunMNIST16

from absynth import fit, pictures
from absynth.algorithms.improved_contrastive_divergence import ImprovedContrastiveDivergence
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.metrics.features import classifier_features
from absynth.metrics.frechet import frechet
from absynth.results import record

LOST = 1e9
"""Stands for any larger pixel, or none at all."""

Way = Literal["gap alone", "gap and penalty", "improved"]
WAYS: tuple[Way, ...] = ("gap alone", "gap and penalty", "improved")


@dataclass(frozen=True, kw_only=True)
class BankMNIST16(ShortRunMNIST16):
    """An EBM of small digits from a bank of chains."""

    steps: int = 300
    start: Literal["noise", "persistent", "data"] = "persistent"
    bank: int = 2000
    chain_steps: int = 15
    checkpoint_every: int = 300
    guard_tries: int = 0
    log_every: int = 1
    way: Way = "improved"
    """What is learned from the chains."""

    def algorithm(self) -> MaximumLikelihood:
        model = super().algorithm()
        if self.way != "improved":  # the step that it would differentiate
            model.sampler = replace(model.sampler, steps=self.chain_steps + 1)  # type: ignore[type-var]
        if self.way == "gap and penalty":
            assert isinstance(model, ImprovedContrastiveDivergence)
            model.moves, model.through, model.entropy = None, 0.0, 0.0
        return model


def settings(wild: bool, way: Way) -> BankMNIST16:
    """The settings of the guard's figure, and a way to learn."""
    of = WILD if wild else HEALTHY
    return BankMNIST16(
        lr=of.lr,
        ebm_activation=of.ebm_activation,
        data_noise=of.data_noise,
        way=way,
        method="maximum_likelihood" if way == "gap alone" else "improved_cd",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--out", type=Path, default=Path("results/improved_contrastive_divergence.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    features = classifier_features(HEALTHY.read("train"), cache=arguments.cache)
    real = features(HEALTHY.read("test").all())
    figure = f"fd[{features.name}]"
    found: dict[str, list[float]] = defaultdict(list)
    for seed in arguments.seeds:
        for kind in ("healthy", "wild"):
            for way in WAYS:
                run = arguments.runs / f"improved_cd_{kind}_{way.replace(' ', '_')}_{seed}"
                model = fit(replace(settings(kind == "wild", way), seed=seed), run, chains="planned")
                x = model.get_buffer("start.bank").nan_to_num().clamp(-1, 1)
                rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
                reach = max(row["reach"]["ebm"] if math.isfinite(row["reach"]["ebm"]) else LOST for row in rows)
                found[f"{kind}: {figure}, {way}"].append(frechet(features(x), real))
                found[f"{kind}: largest pixel, {way}"].append(min(reach, LOST))
                pictures.grid(x[:100], run.with_suffix(".png"))
                distance = found[f"{kind}: {figure}, {way}"][-1]
                print(f"seed {seed}, {kind}, {way}: {distance:.1f}, largest pixel {reach:.2f}", flush=True)
        write(arguments.out, arguments.seeds[: len(found[f"wild: {figure}, improved"])], found, figure)


def write(out: Path, seeds: list[int], found: dict[str, list[float]], figure: str) -> None:
    """Record what is known after a seed, so that a run that is cut short leaves its whole seeds."""
    names = [f"{kind}: {what}" for kind in ("healthy", "wild") for what in (figure, "largest pixel")]
    bars = {
        f"{kind}: {figure}": {
            "at_most": sum(found[f"{kind}: {figure}, gap alone"]) / len(seeds),
            "why": "no worse than the gap alone",
        }
        for kind in ("healthy", "wild")
    }
    record(
        out,
        command="python reproductions/improved_contrastive_divergence.py --seeds " + " ".join(map(str, seeds)),
        data="MNIST averaged to 16×16",
        protocol=f"{BankMNIST16.steps} updates of 64 chains from a bank of {BankMNIST16.bank}, restarted with "
        f"probability 0.05; {BankMNIST16.chain_steps} steps an update, the last differentiated, or "
        f"{BankMNIST16.chain_steps + 1}; no guard. Healthy: rate 3e-4, SiLU, data noise 0.05; wild: 1e-3, leaky ReLU, "
        "0.03. Fréchet distance of the bank against 10,000 test pictures, clamped to [−1, 1]; largest pixel that a "
        "chain ended with in any update",
        seeds=seeds,
        figures={name: found[f"{name}, improved"] for name in names},
        baselines={f"{name}/{way}": found[f"{name}, {way}"] for name in names for way in WAYS[:2]},
        bars=bars,
    )


if __name__ == "__main__":
    main()
