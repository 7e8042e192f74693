"""A 14×14 hole in MNIST filled by the latent EBM prior.

PSNR inside the hole over test images: of one fill, and of the mean of four; baselines are the mean training image's
hole and the hole of the training image that is nearest outside it. The chain's length is chosen on images of the
training split that were not trained on. The test images are others than the first ones, which were looked at while the
experiment was written.
"""

from __future__ import annotations

from absynth import pictures
from absynth.data import sets
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.tasks.inpaint import box_hole, compute_baselines, inpaint
from absynth.tasks.observed import psnr

LENGTHS = (20, 60, 200, 600)
"""Steps of the chains to choose from; the trained length is among them."""
KEPT = 55_000
"""Training images from here on choose the length; the preset trains on the first 20,000."""
FIRST = 5_000
"""The test image to start with."""
N, SAMPLES = 200, 4
ONE, MEAN = "PSNR of one fill", "PSNR of the fills' mean"
BAR = at_least(12.9, "above mean fill and the nearest training image")


@experiment(
    data=f"MNIST, 28×28, the training split; the test images from {FIRST} on to fill",
    protocol=f"{N} test images, the central 14×14 pixels missing; {SAMPLES} fills of each; PSNR inside the hole in "
    f"dB, peak 2, squared errors averaged over images; length of the chains of {LENGTHS} by PSNR on 100 images of "
    "the training split that were not trained on",
    seeds=(0, 1),
    minutes=6,
    bars={ONE: BAR, MEAN: BAR},
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("latent_prior", "mnist")
    n = run.few(N, 12)
    chosen_on = sets.open("mnist").all()[KEPT : KEPT + run.few(100, 10)]
    x = opened.examples("test").all()[FIRST : FIRST + n]
    hole = box_hole([7, 7, 14, 14], 28, 28)
    fills = compute_baselines(x, hole, opened.examples("train").all())
    others = {name: psnr(filled, x, hole) for name, filled in fills.items()}
    found = {}
    for steps in LENGTHS[:1] if run.tiny else LENGTHS:
        draws = inpaint(opened, chosen_on, hole, 1, steps=steps, seed=seed).clamp(-1, 1)
        found[steps] = psnr(draws, chosen_on.expand_as(draws), hole)
    steps = max(found, key=lambda k: found[k])
    draws = inpaint(opened, x, hole, SAMPLES, steps=steps, seed=seed, batch=250).clamp(-1, 1)
    rows = {"image": x[:10]} | {f"fill {s + 1}": draw[:10] for s, draw in enumerate(draws)}
    pictures.rows_with_labels(rows | {"mean": draws.mean(0)[:10]}, run.images / f"inpainting_{seed}.png")
    return Figures(
        {
            ONE: psnr(draws, x.expand_as(draws), hole),
            MEAN: psnr(draws.mean(0), x, hole),
            "spread of the fills": float(draws.std(0)[hole.expand_as(draws[0])].mean()),
            "steps": steps,
        },
        {f"{figure}/{name}": value for figure in (ONE, MEAN) for name, value in others.items()},
    )
