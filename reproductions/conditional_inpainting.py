"""Filling the middle of digits: ``python reproductions/conditional_inpainting.py --seeds 0 1``.

Five fills of each of 1,000 test pictures, drafts and revised. PSNR inside the hole is that of single fills; that of the
mean of the five, which is no sample, stands beside it. PSNR rewards a blur, so a classifier that was trained on whole
training pictures says too what the filled ones are read as.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from translation_mnist import read_as

from absynth import fit, pictures
from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.metrics.features import classifier_features
from absynth.recipes.inpainting_mnist import InpaintingMNIST
from absynth.results import record
from absynth.seeding import stream
from absynth.tasks.inpaint import beside
from absynth.tasks.observed import psnr

PICTURES, FILLS, TRAIN = 1000, 5, 20_000
READ = "share of filled digits read as their label"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--out", type=Path, default=Path("results/conditional_inpainting.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = InpaintingMNIST().resolve()
    assert isinstance(recipe, InpaintingMNIST)
    test, features = recipe.images("test"), classifier_features(recipe.read("train"), cache=arguments.cache)
    assert test.labels is not None
    x, labels = test.batch(torch.arange(PICTURES)), test.labels[:PICTURES]
    c, hole = recipe.source(x), recipe.hole()[0].bool()
    others = beside(x, hole, recipe.images("train").batch(torch.arange(TRAIN)))
    kinds = ("draft", "revised")
    figures: dict[str, list[float]] = {kind + of: [] for kind in kinds for of in ("", " mean", " read")}

    def share(found: Tensor) -> float:
        """Of pictures that are filled so, how many are read as what they are."""
        whole = torch.where(hole, found, x)
        return float((read_as(whole, features, arguments.cache) == labels).float().mean())

    for seed in arguments.seeds:
        model = fit(replace(recipe, seed=seed), arguments.runs / f"inpainting_mnist_{seed}")
        assert isinstance(model, ConditionalCooperative)
        drafts = [model.draft(len(x), c, rng=stream(seed, 0, k, 1))[1] for k in range(FILLS)]
        fills = [model.revise(d, c, rng=stream(seed, 0, k, 2)) for k, d in enumerate(drafts)]
        for kind, found in (("draft", torch.stack(drafts)), ("revised", torch.stack(fills))):
            shown = found.clamp(-1, 1)
            figures[kind].append(psnr(shown, x.expand_as(shown), hole))
            figures[f"{kind} mean"].append(psnr(shown.mean(0), x, hole))
            figures[f"{kind} read"].append(sum(map(share, shown)) / FILLS)
        print(f"seed {seed}: { {kind: round(v[-1], 2) for kind, v in figures.items()} }", flush=True)
        if seed == arguments.seeds[0]:
            rows = {"picture": x[:12], "seen": c[:12, :1], "draft": drafts[0][:12]}
            rows |= {f"fill {k + 1}": torch.where(hole, fills[k], x)[:12] for k in range(3)}
            pictures.rows_with_labels(rows, arguments.docs / "conditional_inpainting.png")
    methods = {name: [psnr(filled, x, hole)] for name, filled in others.items()}
    best = max(v for (v,) in methods.values())
    single = "PSNR of a fill"
    record(
        arguments.out,
        command="python reproductions/conditional_inpainting.py --seeds " + " ".join(map(str, arguments.seeds)),
        data="MNIST; the training split to learn (20,000 of it to look for the nearest picture), 1,000 test pictures",
        protocol=f"{recipe.steps} updates of {recipe.batch}, chains of {recipe.chain_steps} steps from drafts; PSNR in "
        f"dB inside the central {recipe.size // 2}×{recipe.size // 2} pixels (peak 2, squared errors averaged over "
        f"pictures), {FILLS} fills of each picture",
        seeds=arguments.seeds,
        figures={
            single: figures["revised"],
            "PSNR of five fills' mean": figures["revised mean"],
            "PSNR gained over the drafts": [b - a for a, b in zip(figures["draft"], figures["revised"])],
            READ: figures["revised read"],
        },
        baselines={
            f"{single}/draft": figures["draft"],
            "PSNR of five fills' mean/draft": figures["draft mean"],
            **{f"{single}/{name}": v for name, v in methods.items()},
            f"{READ}/draft": figures["draft read"],
            f"{READ}/test pictures": [share(x)],
            **{f"{READ}/{name}": [share(filled)] for name, filled in others.items()},
        },
        bars={
            single: {"at_least": round(best, 4), "why": "above the mean fill and the nearest training picture"},
            "PSNR gained over the drafts": {"at_least": 0.0, "why": "the solver is not worse than the initializer"},
        },
    )


if __name__ == "__main__":
    main()
