"""Labels of a building's front to its photo: ``python reproductions/facades.py --seeds 0 1``.

Five photos of each of the 106 test pairs, drafts and revised, at 64×64. PSNR is that of single photos; of one and the
same label map there are many buildings, so it stays low for any sample, and the pictures are to be looked at.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from absynth import fit, pictures
from absynth.algorithms.conditional_cooperative import ConditionalCooperative
from absynth.recipes.facades import Facades
from absynth.results import record
from absynth.seeding import stream
from absynth.tasks.observed import psnr

PHOTOS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--out", type=Path, default=Path("results/facades.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Facades().resolve()
    assert isinstance(recipe, Facades)
    train, test = recipe.pairs("train"), recipe.pairs("test")
    c, x = test.batch(torch.arange(len(test)))
    sources, targets = train.source.all(), train.target.all()
    whole = torch.ones(1, recipe.size, recipe.size, dtype=torch.bool)
    near = torch.cdist(c.flatten(1), sources.flatten(1)).argmin(1)
    others = {"mean photo": targets.mean(0).expand_as(x), "photo of the nearest labels": targets[near]}
    figures: dict[str, list[float]] = {"draft": [], "revised": []}
    for seed in arguments.seeds:
        model = fit(replace(recipe, seed=seed), arguments.runs / f"facades_{seed}")
        assert isinstance(model, ConditionalCooperative)
        drafts = [model.draft(len(x), c, rng=stream(seed, 0, k, 1))[1] for k in range(PHOTOS)]
        photos = [model.revise(d, c, rng=stream(seed, 0, k, 2)) for k, d in enumerate(drafts)]
        for kind, found in (("draft", torch.stack(drafts)), ("revised", torch.stack(photos))):
            figures[kind].append(psnr(found.clamp(-1, 1), x.expand_as(found), whole))
        print(f"seed {seed}: { {kind: round(v[-1], 3) for kind, v in figures.items()} }", flush=True)
        if seed == arguments.seeds[0]:
            rows = {"labels": c, "photo": x, "draft": drafts[0], "revised": photos[0], "another": photos[1]}
            pictures.rows_with_labels({k: v[:10] for k, v in rows.items()}, arguments.docs / "facades.png")
    record(
        arguments.out,
        command="python reproductions/facades.py --seeds " + " ".join(map(str, arguments.seeds)),
        data="facades (pix2pix form): 400 pairs and their mirror images to learn, 106 test pairs, 64×64",
        protocol=f"{recipe.steps} updates of {recipe.batch}, chains of {recipe.chain_steps} steps from drafts, γ = "
        f"{recipe.truth:g}; PSNR in dB of a photo (peak 2, squared errors averaged over pictures), {PHOTOS} of each "
        "label map",
        seeds=arguments.seeds,
        figures={
            "PSNR": figures["revised"],
            "PSNR gained over the drafts": [b - a for a, b in zip(figures["draft"], figures["revised"])],
        },
        baselines={"PSNR/draft": figures["draft"], **{f"PSNR/{k}": [psnr(v, x, whole)] for k, v in others.items()}},
        bars={"PSNR gained over the drafts": {"at_least": 0.0, "why": "the solver is no worse than the initializer"}},
    )


if __name__ == "__main__":
    main()
