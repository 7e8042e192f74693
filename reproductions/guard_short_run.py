"""The guard at work: settings that diverge, with and without it, beside settings that do not.

    python reproductions/guard_short_run.py --seeds 0 1

Short-run EBM on MNIST at 16×16. A rate of 1e-3 with a leaky ReLU and data noise 0.03 makes f run away within some 200
updates; with the guard the same settings finish, and the model is compared with that of healthy settings (rate 3e-4,
SiLU, data noise 0.05) after equally many updates. Without the guard 250 updates are enough to see what becomes of it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import Algorithm, fit, pictures, stream
from absynth.data.images import Images
from absynth.errors import Diverged
from absynth.metrics.features import classifier_features
from absynth.metrics.frechet import frechet
from absynth.recipes import latent_prior_mnist
from absynth.recipes.short_run_mnist import ShortRunMNIST
from absynth.results import record

N = 2000


@lru_cache(maxsize=2)
def small(data: str, split: Literal["train", "test"]) -> Images:
    """MNIST padded to 32×32 and averaged to 16×16."""
    images = latent_prior_mnist.read(data, split)
    padded = torch.nn.functional.pad(images.x, (2, 2, 2, 2))
    means = padded.view(-1, 1, 16, 2, 16, 2).float().mean((3, 5))
    return replace(images, x=means.round().to(torch.uint8), name="mnist16")


@dataclass(frozen=True, kw_only=True)
class ShortRunMNIST16(ShortRunMNIST):
    """Short-run EBM on MNIST at 16×16."""

    steps: int = 350
    width: int = 16
    stem: Literal[1, 2] = 1
    lr: float = 3e-4
    decay: float = 0.5
    checkpoint_every: int = 25
    keep: int = 6

    def read(self, split: Literal["train", "test"]) -> Images:
        return small(self.data, split)


HEALTHY = ShortRunMNIST16()
WILD = replace(HEALTHY, lr=1e-3, ebm_activation="leaky_relu", data_noise=0.03)


def drawn(model: Algorithm, n: int, seed: int) -> Float[Tensor, "n c h w"]:
    """n samples, clamped."""
    return torch.cat([model.sample(500, rng=stream(seed, 0, part, 3)) for part in range(n // 500)]).clamp(-1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--out", type=Path, default=Path("results/guard_short_run.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    features = classifier_features(HEALTHY.read("train"), cache=arguments.cache)
    real = features(HEALTHY.read("test").all())
    recipes = {"guarded": WILD, "healthy": HEALTHY, "unguarded": replace(WILD, guard_tries=0, steps=250)}
    found: dict[str, list[float]] = defaultdict(list)
    for seed in arguments.seeds:
        for name, recipe in recipes.items():
            run = arguments.runs / f"guard_short_run_{name}_{seed}"
            try:
                x = drawn(fit(replace(recipe, seed=seed), run, chains="planned"), N, seed)
            except Diverged as stopped:
                print(f"seed {seed}, {name}: {stopped}", flush=True)
                raise SystemExit(1) from None
            rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            kinds = [json.loads(line)["event"] for line in (run / "journal.jsonl").read_text().splitlines()]
            last = rows[-1]["loss"]["ebm"]
            found[f"{name} fd"].append(frechet(features(x), real) if bool(x.isfinite().all()) else math.inf)
            found[f"{name} gap"].append(max(abs(row["loss"]["ebm"]) for row in rows))
            found[f"{name} rolls"].append(kinds.count("guard"))
            pictures.grid(x[:100].nan_to_num(), arguments.runs / f"guard_short_run_{name}_{seed}.png")
            print(f"seed {seed}, {name}:", {k: v[-1] for k, v in found.items() if k.startswith(name)}, last, flush=True)
        write(arguments.out, arguments.seeds[: len(found["unguarded fd"])], found, f"fd[{features.name}]")


def write(out: Path, seeds: list[int], found: dict[str, list[float]], figure: str) -> None:
    """Record what is known after a seed, so that a run that is cut short leaves its whole seeds."""
    ratio = [a / b for a, b in zip(found["guarded fd"], found["healthy fd"])]
    record(
        out,
        command="python reproductions/guard_short_run.py --seeds " + " ".join(map(str, seeds)),
        data="MNIST averaged to 16×16",
        protocol=f"{HEALTHY.steps} updates each, 250 without the guard; {N} samples against 10,000 test pictures, "
        "clamped to [−1, 1]; wild: "
        "rate 1e-3, leaky ReLU, data noise 0.03; healthy: rate 3e-4, SiLU, 0.05; largest |gap| over logged updates",
        seeds=seeds,
        figures={
            figure: found["guarded fd"],
            f"{figure} relative to healthy": ratio,
            "roll-backs": found["guarded rolls"],
            "largest gap": found["guarded gap"],
        },
        baselines={
            f"{figure}/healthy settings": found["healthy fd"],
            **({f"{figure}/no guard": found["unguarded fd"]} if all(map(math.isfinite, found["unguarded fd"])) else {}),
            "largest gap/healthy settings": found["healthy gap"],
            "largest gap/no guard": found["unguarded gap"],
        },
        bars={f"{figure} relative to healthy": {"at_most": 1.1, "why": "within 10 % of the healthy model"}},
    )


if __name__ == "__main__":
    main()
