"""Labels of a building's front to its photo: five photos of each of the 106 test pairs, at 64×64.

One label map has many buildings, so the squared error of a single photo rewards a blur. Photos are judged by what a
solver is for: whether a small network, trained on real pairs, reads the labels again from the photo, and whether photos
and labels go together as in real pairs. The second is a Fréchet distance between joint features: hidden units of that
network, averaged over the wall that the label map shows and over the rest of it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from absynth import pictures
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.metrics.frechet import frechet
from absynth.seeding import stream
from absynth.tasks.observed import psnr
from absynth.tasks.refine import MOVED, distance_over_noise

PHOTOS = 5
UPDATES = 300
PALETTE = (
    (0, 0, 214), (0, 43, 255), (0, 122, 255), (0, 196, 255), (40, 255, 224), (120, 255, 140), (192, 255, 60),
    (255, 232, 0), (255, 155, 0), (255, 76, 0), (247, 0, 0), (170, 0, 0),
)  # fmt: skip
"""Colours of the data set's twelve classes in its label maps."""
WALL = 1
"""Class of the wall, the most frequent one."""
READ, JOINT, MEAN, GAIN = (
    "share of labels read again",
    "joint Fréchet distance",
    "PSNR of five photos' mean",
    "labels read above the initial samples'",
)


def classes_of(c: Float[Tensor, "n 3 h w"]) -> Int64[Tensor, "n h w"]:
    """The class of each pixel of label maps in [−1, 1]: that of the nearest colour."""
    colours = torch.tensor(PALETTE, dtype=c.dtype) / 127.5 - 1
    return torch.cdist(c.movedim(1, -1).flatten(0, -2), colours).argmin(1).view(len(c), *c.shape[2:])


class LabelNet(nn.Module):
    """Labels from a photo; its hidden units are the features."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(3, 24, 4, 2, 1), nn.ReLU(), nn.Conv2d(24, 48, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(48, 48, 3, padding=1), nn.ReLU(), nn.Conv2d(48, 48, 3, padding=2, dilation=2), nn.ReLU(),
            nn.Conv2d(48, 32, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.up = nn.Conv2d(32, len(PALETTE) * 4, 1)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes h2 w2"]:
        """Scores at half the photo's side."""
        return functional.pixel_shuffle(self.up(self.down(x)), 2)


def train_label_net(x: Tensor, c: Tensor, *, updates: int) -> LabelNet:
    """The network that reads labels, the same for every seed of the experiment.

    Noise on its photos keeps it from telling real photos from generated ones by their grain.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = LabelNet()
    rng, truth = stream(0, 0, 0, 4), classes_of(c)[:, ::2, ::2]
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(updates):
        rows = torch.randint(len(x), (16,), generator=rng)
        noisy = x[rows] + 0.05 * torch.randn(x[rows].shape, generator=rng)
        optimizer.zero_grad()
        functional.cross_entropy(net(noisy), truth[rows]).backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


def share_of_labels(net: LabelNet, x: Tensor, c: Tensor) -> float:
    """Share of pixels whose label the network reads in the photo."""
    return float((net(x).argmax(1) == classes_of(c)[:, ::2, ::2]).float().mean())


def joint_features(net: LabelNet, x: Tensor, c: Tensor) -> Float[Tensor, "n d"]:
    """Hidden units of the photo, averaged over the wall of the label map and over the rest of it."""
    hidden, wall = net.down(x), (classes_of(c) == WALL).float()[:, None, ::4, ::4]
    return torch.cat([(hidden * at).sum((2, 3)) / at.sum((2, 3)).clamp(min=1) for at in (wall, 1 - wall)], 1)


@experiment(
    data="facades (pix2pix form): 400 pairs and their mirror images to learn, 106 test pairs, 64×64",
    protocol=f"350 updates of 20, chains of 10 steps from initial samples; {PHOTOS} photos of each label map. Labels "
    f"are read at 32×32 by a network of five convolutions ({UPDATES} updates on real pairs); Fréchet distances are "
    f"of 106 pairs with the test labels to the test pairs, in 64 joint features, the mean over {PHOTOS} sets; PSNR in "
    "dB (peak 2, squared errors averaged over images); distances are root mean squares over pixels",
    seeds=(0, 1),
    minutes=5,
    bars={
        GAIN: at_least(0.0, "refined photos show the labels at least as well as the initializer's"),
        f"{JOINT} over the initial samples'": at_most(1.0, "the solver is no worse than the initializer"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("conditional", "facades")
    model: Any = opened.model
    train, test = opened.examples("train"), opened.examples("test")
    pairs, known = test.batch(torch.arange(run.few(len(test), 12))), train.batch(torch.arange(len(train)))
    x, c = pairs.x, pairs.c
    assert c is not None
    assert known.c is not None
    net = train_label_net(known.x, known.c, updates=run.few(UPDATES, 2))
    whole, real = torch.ones(1, *x.shape[2:], dtype=torch.bool), joint_features(net, x, c)
    near = torch.cdist(c.flatten(1), known.c.flatten(1)).argmin(1)
    others = {"mean photo": known.x.mean(0).expand_as(x), "photo of the nearest labels": known.x[near]}
    initial = [model.initial_samples(len(x), c, rng=stream(seed, 0, k, 1))[1] for k in range(PHOTOS)]
    refined = [model.refine(v, c, rng=stream(seed, 0, k, 2)) for k, v in enumerate(initial)]
    moved = distance_over_noise(model.sampler, torch.stack(initial), torch.stack(refined))
    assert moved is not None

    def judge(photos: list[Tensor]) -> dict[str, float]:
        shown = [v.clamp(-1, 1) for v in photos]
        stacked = torch.stack(shown)
        return {
            READ: sum(share_of_labels(net, v, c) for v in shown) / len(shown),
            JOINT: sum(frechet(joint_features(net, v, c), real) for v in shown) / len(shown),
            "PSNR": psnr(stacked, x.expand_as(stacked), whole),
            MEAN: psnr(stacked.mean(0), x, whole),
        }

    before, after = judge(initial), judge(refined)
    found = {f"{name}/initial samples": value for name, value in before.items()}
    for name, photo in others.items():
        found |= {f"{figure}/{name}": value for figure, value in judge([photo]).items()}
    some = torch.randperm(len(known.x), generator=stream(seed, 0, 0, 3))[: len(x)]
    found[f"{READ}/test photos"] = share_of_labels(net, x, c)
    found[f"{READ}/wall everywhere"] = float((classes_of(c) == WALL).float().mean())
    found[f"{JOINT}/training pairs"] = frechet(joint_features(net, known.x[some], known.c[some]), real)
    rows = {"labels": c, "photo": x, "initial": initial[0], "refined": refined[0], "another": refined[1]}
    pictures.rows_with_labels({k: v[:10] for k, v in rows.items()}, run.images / "facades.png")
    return Figures(
        after
        | {
            GAIN: after[READ] - before[READ],
            f"{JOINT} over the initial samples'": after[JOINT] / before[JOINT],
            MOVED: moved,
        },
        found,
    )
