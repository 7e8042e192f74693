"""A 14×14 hole in MNIST filled by the latent EBM prior: ``python reproductions/inpainting_mnist.py --seeds 0 1``.

PSNR inside the hole over test pictures: of one fill, and of the mean of four, beside the mean training picture's hole
and the hole of the training picture that is nearest outside it. The chain's length is chosen on pictures of the
training split that were not trained on. The test pictures are others than the first ones, which were looked at
while the script was written. ``--model short_run_mnist`` does the same with a short-run EBM of the pixels.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch

from absynth import fit, pictures
from absynth.data.images import Images
from absynth.recipes import find
from absynth.results import record
from absynth.tasks.inpaint import beside, box_hole, inpaint
from absynth.tasks.observed import psnr
from absynth.tasks.opened import Opened

LENGTHS = {"latent_prior_mnist": (20, 60, 200, 600), "short_run_mnist": (15, 30, 60)}
"""Steps of the chains to choose from; the trained length is among them."""

KEPT = 55_000
"""Training pictures from here on choose the length; the latent prior's recipe trains on the first 20,000."""

FIRST = 5_000
"""The test picture to begin with."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--model", choices=tuple(LENGTHS), default="latent_prior_mnist")
    parser.add_argument("--n", type=int, default=200, help="test pictures")
    parser.add_argument("--samples", type=int, default=4, help="fills of each")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--out", type=Path, default=Path("results/inpainting_mnist.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = find(arguments.model)().resolve()
    if hasattr(recipe, "limit") and arguments.model == "short_run_mnist":
        recipe = replace(recipe, limit=KEPT)
    images: Images = recipe.images("train")  # type: ignore[attr-defined]
    train = images.all()
    whole: Images = replace(recipe, limit=0).images("train")  # type: ignore[attr-defined,call-arg]
    chosen_on = whole.batch(torch.arange(KEPT, KEPT + 100))
    test: Images = recipe.images("test")  # type: ignore[attr-defined]
    x = test.batch(torch.arange(FIRST, FIRST + arguments.n))
    hole = box_hole([7, 7, 14, 14], 28, 28)
    others = {name: psnr(filled, x, hole) for name, filled in beside(x, hole, train).items()}
    figures, baselines = defaultdict(list), defaultdict(list)
    for seed in arguments.seeds:
        short = {"latent_prior_mnist": "latent_prior_mnist_ebm"}.get(arguments.model, arguments.model)
        model = fit(replace(recipe, seed=seed), arguments.runs / f"{short}_{seed}", chains="planned")
        opened = Opened(arguments.runs, model, recipe, torch.device("cpu"))
        found = {}
        for steps in LENGTHS[arguments.model]:
            draws = inpaint(opened, chosen_on, hole, 1, steps=steps, seed=seed).clamp(-1, 1)
            found[steps] = psnr(draws, chosen_on.expand_as(draws), hole)
        steps = max(found, key=lambda k: found[k])
        draws = inpaint(opened, x, hole, arguments.samples, steps=steps, seed=seed, batch=250).clamp(-1, 1)
        figures["PSNR of one fill"].append(psnr(draws, x.expand_as(draws), hole))
        figures["PSNR of the fills' mean"].append(psnr(draws.mean(0), x, hole))
        figures["spread of the fills"].append(float(draws.std(0)[hole.expand_as(draws[0])].mean()))
        figures["steps"].append(steps)
        for figure in ("PSNR of one fill", "PSNR of the fills' mean"):
            for name, value in others.items():
                baselines[f"{figure}/{name}"].append(value)
        print(
            f"seed {seed}:", {k: round(v[-1], 3) for k, v in figures.items()}, others, "chosen among", found, flush=True
        )
        rows = {"picture": x[:10], "seen": torch.where(hole, 0.0, x)[:10]}
        rows |= {f"fill {s + 1}": draw[:10] for s, draw in enumerate(draws[:4])} | {"mean": draws.mean(0)[:10]}
        pictures.rows_with_labels(rows, arguments.runs / f"inpainting_{arguments.model}_{seed}.png")
    bar = {"at_least": max(others.values()), "why": "above mean fill and the nearest training picture"}
    record(
        arguments.out,
        command=f"python reproductions/inpainting_mnist.py --model {arguments.model} --seeds "
        + " ".join(map(str, arguments.seeds)),
        data=f"MNIST, 28×28, the training split; the test pictures from {FIRST} on to fill",
        protocol=f"{arguments.n} test pictures, the central 14×14 pixels missing; {arguments.samples} fills of each by "
        f"{arguments.model}; PSNR inside the hole in dB, peak 2, squared errors averaged over pictures; length of the "
        f"chains of {LENGTHS[arguments.model]} by PSNR on 100 pictures of the training split that were not trained on",
        seeds=arguments.seeds,
        figures=dict(figures),
        baselines=dict(baselines),
        bars={"PSNR of one fill": bar, "PSNR of the fills' mean": bar},
    )


if __name__ == "__main__":
    main()
