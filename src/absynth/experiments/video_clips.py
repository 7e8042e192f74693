"""Three real clips: motion of synthesized clips, at three times the length that models were trained on.

The spatial-temporal generative ConvNet on fire, a flag and a fountain (Xie, Zhu, Wu 2017), one model per clip. A model
that is right about single frames alone is as good as shuffled frames.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absynth import pictures
from absynth.dynamic_texture import LinearDynamics
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.metrics.motion import autocorrelation, difference_spectrum, worst_factor
from absynth.seeding import Streams, stream

CLIPS = ("fire", "flag", "fountain")
LAGS, FRAMES, N, UPDATES = 4, 48, 64, 60
NEAREST = "distance to the nearest frame"
CORRELATION, SPECTRUM, MOTION = "factor of the autocorrelation", "factor of the spectrum of changes", "motion kept"


def motion_figures(x: Tensor, clip: Tensor) -> dict[str, float]:
    """How far clips ``[n, c, t, h, w]`` are from the motion of a clip ``[1, c, t, h, w]``: the two worst factors."""
    truth = autocorrelation(clip, LAGS)
    lags = int((truth > 0.2).sum())
    return {
        CORRELATION: worst_factor(autocorrelation(x, LAGS)[:lags], truth[:lags]),
        SPECTRUM: worst_factor(difference_spectrum(x), difference_spectrum(clip)),
    }


def motion_kept(x: Tensor) -> float:
    """Mean square of the changes in the last third of clips over that in the first third: 0 frozen, above 1 wilder."""
    change = (x[:, :, 1:] - x[:, :, :-1]).square().mean((0, 1, 3, 4))
    third = len(change) // 3
    return float(change[-third:].mean() / change[:third].mean())


def shuffled(clip: Tensor, frames: int, n: int, seed: int) -> Tensor:
    """Frames of a clip ``[c, t, h, w]`` in random order, n times."""
    order = torch.randint(clip.shape[1], (n, frames), generator=stream(seed, 0, 0, 21))
    return clip[:, order].transpose(0, 1)


def linear(clip: Tensor, frames: int, n: int, seed: int, *, moving: bool = True) -> Tensor:
    """n clips of the linear dynamic texture of a clip; else of a Gaussian of its frames, each drawn anew."""
    law = LinearDynamics((clip.shape[0], frames, *clip.shape[2:]), 30).fit([clip])
    if not moving:
        law.step.zero_()
        law.innovation.copy_(law.first)
    return law.sample(n, stream(seed, 0, 0, 22)).clamp(-1, 1)


def nearest_frame(x: Tensor, clip: Tensor) -> float:
    """Root mean square distance of frames of ``[n, c, t, h, w]`` to the nearest frame of ``[c, t, h, w]``."""
    theirs, ours = clip.transpose(0, 1).flatten(1), x.transpose(1, 2).flatten(0, 1).flatten(1)
    return float(torch.cdist(ours, theirs).min(1).values.square().mean().sqrt() / ours.shape[1] ** 0.5)


@experiment(
    data="fire, flag and fountain at 32×32 in colour, 64 frames each, of which 48 to train on",
    protocol=f"maximum likelihood, {UPDATES} updates; {N} fresh clips of {FRAMES} frames by a model trained on "
    "windows of 16. Worst factor, either way, between autocorrelations of clips and data at lags 1 "
    f"to {LAGS} (where the data's is above .2), and between power spectra of frame differences in four octaves; "
    "motion kept is the mean square of the changes in the last third over the first. Chains start at the linear "
    "dynamic texture that is a baseline.",
    seeds=(0, 1),
    minutes=3,
    bars={f"{clip}: {name}": at_most(1.5, "within a factor of 1.5 of the data") for clip in CLIPS
          for name in (CORRELATION, SPECTRUM)},
)  # fmt: skip
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    shown: list[Tensor] = []
    frames, n = run.few(FRAMES, 12), run.few(N, 2)
    for name in CLIPS:
        opened = run.fit("maximum_likelihood", name, label=name, steps=UPDATES)
        data: Any = opened.data
        clip, model = data.whole(), opened.model
        model.set_frames(frames)
        x = model.sample(n, rng=Streams(seed, range(n))).clamp(-1, 1)
        found = motion_figures(x, clip[None])
        values |= {f"{name}: {k}": v for k, v in found.items()} | {f"{name}: {MOTION}": motion_kept(x)}
        others = {
            "frames in random order": shuffled(clip, frames, n, seed),
            "Gaussian of single frames": linear(clip, frames, n, seed, moving=False),
            "linear dynamic texture": linear(clip, frames, n, seed),
        }
        values[f"{name}: {NEAREST}"] = nearest_frame(x, clip)
        baselines |= {f"{name}: {NEAREST}/{other}": nearest_frame(y, clip) for other, y in others.items()}
        baselines[f"{name}: {NEAREST}/frames not trained on"] = nearest_frame(data.split("test").all(), clip)
        for other, y in others.items():
            baselines |= {f"{name}: {k}/{other}": v for k, v in motion_figures(y, clip[None]).items()}
        shown += [clip[None, :, :frames], x[:2]]
    pictures.animation(torch.cat(shown), run.images / "video_clips.gif", columns=3)
    return Figures(values, baselines)
