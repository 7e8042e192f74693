"""Labels of a building's front to its photo: five photos of each of the 106 test pairs, at 64×64.

PSNR is that of single photos; one label map has many buildings, so it stays low for any sample, and the images have to
be looked at.
"""

from __future__ import annotations

import torch

from absynth import pictures
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.seeding import stream
from absynth.tasks.observed import psnr

PHOTOS = 5
GAIN = "PSNR gained over the initial samples"


@experiment(
    data="facades (pix2pix form): 400 pairs and their mirror images to learn, 106 test pairs, 64×64",
    protocol=f"350 updates of 20, chains of 10 steps from initial samples, γ = .5; PSNR in dB of a photo (peak 2, "
    f"squared errors averaged over images), {PHOTOS} of each label map",
    seeds=(0, 1),
    minutes=5,
    bars={GAIN: at_least(0.0, "the solver is no worse than the initializer")},
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("conditional", "facades")
    model, train, test = opened.model, opened.examples("train"), opened.examples("test")
    pairs, known = test.batch(torch.arange(run.few(len(test), 12))), train.batch(torch.arange(len(train)))
    x, c = pairs.x, pairs.c
    assert c is not None
    assert known.c is not None
    whole = torch.ones(1, *x.shape[2:], dtype=torch.bool)
    near = torch.cdist(c.flatten(1), known.c.flatten(1)).argmin(1)
    others = {"mean photo": known.x.mean(0).expand_as(x), "photo of the nearest labels": known.x[near]}
    initial = [model.initial_samples(len(x), c, rng=stream(seed, 0, k, 1))[1] for k in range(PHOTOS)]
    refined = [model.refine(v, c, rng=stream(seed, 0, k, 2)) for k, v in enumerate(initial)]
    before, after = (psnr(torch.stack(v).clamp(-1, 1), x.expand(PHOTOS, *x.shape), whole) for v in (initial, refined))
    rows = {"labels": c, "photo": x, "initial": initial[0], "refined": refined[0], "another": refined[1]}
    pictures.rows_with_labels({k: v[:10] for k, v in rows.items()}, run.images / "facades.png")
    return Figures(
        {"PSNR": after, GAIN: after - before},
        {"PSNR/initial samples": before, **{f"PSNR/{name}": psnr(v, x, whole) for name, v in others.items()}},
    )
