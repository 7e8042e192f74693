"""Clips of which half of the pixels, half of the frames or a block is hidden for good: learned from, and completed.

The spatial-temporal generative ConvNet of each clip learns from what is seen; its chain on the hidden part starts at
the linear dynamic texture given what is seen, which is a baseline, as are interpolation through time and the mean of
what is seen of a pixel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.data.hidden import through_time
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.experiments.video_clips import CLIPS, UPDATES
from absynth.seeding import stream
from absynth.types import Batch

HIDDEN = {"pixels": 0.5, "frames": 0.5, "block": 0.2}
DRAWS = 8
ERROR, OVER, TIME, FILL = "squared error of the hidden {}", "{} over {}'s", "interpolation through time", "mean fill"
LINEAR = "linear dynamic texture"


def mean_fill(x: Tensor, hole: Tensor) -> Tensor:
    """Hidden entries by the mean over time of what is seen of the pixel, else of the whole clip."""
    seen = (~hole).expand_as(x)
    mean, whole = ((x * seen).sum(d, True) / seen.sum(d, True).clamp(min=1) for d in (2, (2, 3, 4)))
    return torch.where(hole, torch.where(seen.any(2, True), mean, whole), x)


@experiment(
    data="fire, flag and fountain at 32×32 in colour, 48 frames of each",
    protocol=f"maximum likelihood, {UPDATES} updates on windows of 16 frames; hidden for good: half of the pixels, "
    f"half of the frames, or a fifth of every frame in one block; squared error of what is hidden of windows side by "
    f"side, by the mean of {DRAWS} recoveries, on the [-1, 1] scale; a share of a baseline's error is the mean over "
    "the clips. Settings are those of video_clips",
    seeds=(0, 1),
    minutes=6,
    bars={OVER.format(kind, other): at_most(1.0, "below it") for kind in HIDDEN for other in (TIME, FILL)},
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    shown: list[Tensor] = []
    clips = CLIPS[: run.few(len(CLIPS), 1)]
    for kind, share in HIDDEN.items():
        for name in clips:
            fields = {"steps": UPDATES, "missing": share, "missing_kind": kind}
            opened = run.fit("maximum_likelihood", name, label=f"{name} {kind}", **fields)
            model: Any = opened.model
            recipe: Any = opened.full
            data: Any = recipe.examples
            rows = torch.arange(0, len(data), recipe.shape[1])[: run.few(len(data), 1)]
            x = data.batch(rows).x
            batch = recipe.hide(Batch(x, index=rows))
            errors: dict[str, list[float]] = {}
            for k in range(len(rows)):  # holes differ from window to window
                truth, seen = x[k : k + 1], batch.mask[k : k + 1].bool()
                hole = ~seen[0, :1]
                start = model.initial_distribution

                def project(y: Tensor, seen: Tensor = seen, truth: Tensor = truth) -> Tensor:
                    return torch.where(seen, truth, y)

                n = run.few(DRAWS, 2)
                hidden_from_model = batch.x[k : k + 1].expand(n, *truth.shape[1:])
                drawn = model.recover(hidden_from_model, seen, rng=stream(seed, 0, k, 6)).clamp(-1, 1)
                fills = {
                    "": drawn.mean(0, True),
                    TIME: through_time(batch.x[k : k + 1], hole),
                    FILL: mean_fill(batch.x[k : k + 1], hole),
                    LINEAR: start.given(project, n, stream(seed, 0, k, 7)).clamp(-1, 1).mean(0, True),
                }
                for other, y in fills.items():
                    errors.setdefault(other, []).append(float((y - truth).square()[~seen.expand_as(truth)].mean()))
                if k == 0 and seed == 0:
                    shown += [truth, batch.x[:1], drawn[:1]]
            mean = {other: sum(found) / len(found) for other, found in errors.items()}
            figure = f"{name}: {ERROR.format(kind)}"
            values[figure] = mean.pop("")
            baselines |= {f"{figure}/{other}": value for other, value in mean.items()}
        for other in (TIME, FILL, LINEAR):
            of = [f"{name}: {ERROR.format(kind)}" for name in clips]
            values[OVER.format(kind, other)] = sum(values[f] / baselines[f"{f}/{other}"] for f in of) / len(of)
    if seed == 0:
        pictures.animation(torch.cat(shown), run.images / "incomplete_clips.gif", columns=9)
    return Figures(values, baselines)
